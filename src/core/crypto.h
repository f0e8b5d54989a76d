// The wrapper of OpenSSL: random bytes, digests, key derivation, and the seal
// of all data that browsers store for the module.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;

namespace oidc {

// A string that is wiped on destruction. Only reveal() gives access to it.
class Secret {
public:
    Secret() = default;
    explicit Secret(std::string text) : text_(std::move(text)) {}
    Secret(const Secret&) = default;
    Secret& operator=(const Secret& other);
    ~Secret() { wipe(); }

    std::string_view reveal() const { return text_; }
    bool empty() const { return text_.empty(); }

private:
    void wipe();

    std::string text_;
};

// `size` bytes of a cryptographic generator. Flows receive the function as an
// argument, so that tests can replace it.
using Random = std::string (*)(std::size_t size);

std::string random_bytes(std::size_t size);

enum class Hash { sha256, sha384, sha512 };

std::string digest(Hash hash, std::string_view bytes);

// Compares in a time that depends on the lengths only.
bool equal(std::string_view a, std::string_view b);

// RFC 5869 with SHA-256 and no salt.
std::string hkdf(std::string_view key, std::string_view info, std::size_t size);

// Concatenates with lengths: different lists of fields give different strings.
std::string bind_fields(std::initializer_list<std::string_view> fields);

// The keys of one purpose, derived from the operator's master keys. The first
// key seals, all keys open. The seal is XAES-256-GCM (C2SP, xaes-256-gcm.md):
// its random 192-bit nonce never wears a key out. Not thread-safe.
class KeyRing {
public:
    static constexpr std::size_t master_size = 32;
    static constexpr std::size_t nonce_size = 24;

    KeyRing() = default;
    KeyRing(std::span<const Secret> masters, std::string_view purpose);

    // key id (4) || nonce (24) || ciphertext || tag (16)
    std::string seal(std::string_view plain, std::string_view associated,
        Random random) const;

    struct Opened {
        std::string plain;
        std::size_t key; // for derive()
    };

    // Nothing unless a key of the ring sealed exactly this with `associated`.
    std::optional<Opened> open(
        std::string_view sealed, std::string_view associated) const;

    // True if the text is as long as a seal but names no key of the ring.
    bool is_foreign(std::string_view sealed) const;

    std::size_t size() const { return keys_.size(); }

    // A value that only a holder of that key can compute.
    std::string derive(
        std::size_t key, std::string_view info, std::size_t size) const;

private:
    class Key;

    std::vector<std::shared_ptr<const Key>> keys_;
};

// XAES-256-GCM with key and nonce given, for the published test vectors.
std::string xaes_seal(std::string_view key, std::string_view nonce,
    std::string_view plain, std::string_view associated);

}
