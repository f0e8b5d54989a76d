#include "jose/jwe.h"

#include "core/encoding.h"
#include "core/text.h"
#include "jose/handled.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace oidc {
namespace {

constexpr std::size_t part_count = 5;
constexpr std::size_t max_ciphertext = 65536;

// RFC 7518, 5.1. Sizes are in bytes.
struct Encryption {
    std::string_view name;
    std::size_t key;
    std::size_t iv;
    std::size_t tag;
};

constexpr Encryption encryptions[] = {
    {"A128GCM", 16, 12, 16},
    {"A192GCM", 24, 12, 16},
    {"A256GCM", 32, 12, 16},
    {"A128CBC-HS256", 32, 16, 16},
    {"A192CBC-HS384", 48, 16, 24},
    {"A256CBC-HS512", 64, 16, 32},
};

bool is_rsa(std::string_view alg)
{
    return alg == "RSA-OAEP" || alg == "RSA-OAEP-256";
}

const Encryption* find_encryption(std::string_view name)
{
    for (const auto& encryption : encryptions) {
        if (encryption.name == name) {
            return &encryption;
        }
    }
    return nullptr;
}

// A compact JWE as text, and decoded where a size is checked.
struct Parts {
    std::string_view header;
    std::string_view encrypted_key;
    std::string_view iv;
    std::string_view ciphertext;
    std::string_view tag;
    std::string header_text;
    std::size_t key_size = 0;
    std::size_t iv_size = 0;
    std::size_t tag_size = 0;
};

std::optional<Parts> split(std::string_view compact, std::string& why)
{
    if (!is_jwe(compact)) {
        why = "is not a JWE of five parts";
        return {};
    }
    std::array<std::string_view, part_count> texts;
    std::array<std::size_t, part_count> sizes{};
    std::string header;
    auto rest = compact;
    for (std::size_t i = 0; i < part_count; i++) {
        texts[i] = take_until(rest, '.');
        auto decoded = base64url_decode(texts[i]);
        if (!decoded) {
            why = "is not base64url";
            return {};
        }
        sizes[i] = decoded->size();
        if (i == 0) {
            header = std::move(*decoded);
        }
    }
    if (sizes[3] == 0 || sizes[3] > max_ciphertext) {
        why = "has a ciphertext of " + std::to_string(sizes[3]) + " bytes";
        return {};
    }
    return Parts{texts[0], texts[1], texts[2], texts[3], texts[4],
        std::move(header), sizes[1], sizes[2], sizes[4]};
}

// Copies the plaintext and wipes the library's buffer.
std::optional<std::string> finish(cjose_jwe_t* jwe, const cjose_jwk_t* key)
{
    if (jwe == nullptr) {
        return {};
    }
    cjose_err error{};
    std::size_t size = 0;
    auto content = cjose_jwe_decrypt(jwe, key, &size, &error);
    if (content == nullptr) {
        return {};
    }
    std::string plain(reinterpret_cast<const char*>(content), size);
    OPENSSL_cleanse(content, size);
    cjose_get_dealloc()(content);
    return plain;
}

// Decrypts with the content encryption key itself. The header is authenticated
// unchanged, but cjose must use "dir": it lacks RSA-OAEP-256, leaks memory in
// ECDH-ES (0.6.2), and does not compare the size of an encrypted key with the
// one that "enc" requires. It prefers the "alg" of a recipient's header, which
// the JSON serialization has.
std::optional<std::string> open_directly(const Parts& parts, const Secret& key)
{
    auto text = R"({"protected":")" + std::string(parts.header) +
        R"(","header":{"alg":"dir"},"encrypted_key":"","iv":")" +
        std::string(parts.iv) + R"(","ciphertext":")" +
        std::string(parts.ciphertext) + R"(","tag":")" +
        std::string(parts.tag) + "\"}";
    cjose_err error{};
    Handled<cjose_jwe_t> jwe(
        cjose_jwe_import_json(text.data(), text.size(), &error));
    Handled<cjose_jwk_t> jwk(cjose_jwk_create_oct_spec(
        bytes(key.reveal()), key.reveal().size(), &error));
    return jwk != nullptr ? finish(jwe.get(), jwk.get()) : std::nullopt;
}

// OpenID Connect Core, 10.2: the left part of the shortest SHA-2 hash that is
// long enough.
Secret key_of_secret(std::string_view secret, std::size_t size)
{
    auto hash = size <= 32 ? Hash::sha256 :
        size <= 48         ? Hash::sha384 :
                             Hash::sha512;
    Secret whole(digest(hash, secret));
    return Secret(std::string(whole.reveal().substr(0, size)));
}

std::string big_endian(std::size_t number)
{
    std::string octets(4, '\0');
    for (std::size_t i = 0; i < octets.size(); i++) {
        octets[i] = static_cast<char>(number >> (24 - 8 * i));
    }
    return octets;
}

std::string with_length(std::string_view octets)
{
    return big_endian(octets.size()) + std::string(octets);
}

// RFC 7518, 4.6.2
Secret concat_kdf(
    const Secret& shared, const std::string& info, std::size_t size)
{
    Handled<EVP_KDF> kdf(EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_SSKDF, nullptr));
    Handled<EVP_KDF_CTX> context(
        kdf != nullptr ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
    std::string z(shared.reveal());
    auto other_info = info; // OpenSSL takes non-const pointers
    char hash[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash, 0),
        OSSL_PARAM_construct_octet_string(
            OSSL_KDF_PARAM_KEY, z.data(), z.size()),
        OSSL_PARAM_construct_octet_string(
            OSSL_KDF_PARAM_INFO, other_info.data(), other_info.size()),
        OSSL_PARAM_construct_end(),
    };
    std::string derived(size, '\0');
    auto done = context != nullptr &&
        EVP_KDF_derive(context.get(), bytes(derived), size, params) == 1;
    OPENSSL_cleanse(z.data(), z.size());
    return done ? Secret(std::move(derived)) : Secret();
}

// An absent member equals an empty one.
std::optional<std::string> party_info(JsonValue header, const char* name)
{
    auto text = header[name].string();
    if (!header[name].exists()) {
        return "";
    }
    return text ? base64url_decode(*text) : std::nullopt;
}

// RFC 7516, 11.5: a random key takes the place of one that does not decrypt or
// has another size than "enc" requires, so that time tells no reason.
Secret unwrap(const Parts& parts, std::string_view alg, const PrivateKey& key,
    const Encryption& encryption)
{
    auto unwrapped = key.unwrap(alg, *base64url_decode(parts.encrypted_key));
    Secret other(random_bytes(encryption.key));
    return unwrapped && unwrapped->reveal().size() == encryption.key ?
        std::move(*unwrapped) :
        std::move(other);
}

std::optional<Secret> agree(JsonValue header, const PrivateKey& key,
    const Encryption& encryption, std::string& why)
{
    auto apu = party_info(header, "apu");
    auto apv = party_info(header, "apv");
    if (!apu || !apv) {
        why = "has an apu or apv that is not base64url";
        return {};
    }
    auto shared = key.agree(header["epk"]);
    if (!shared) {
        why = "has an epk that does not match client_key";
        return {};
    }
    return concat_kdf(*shared,
        with_length(encryption.name) + with_length(*apu) + with_length(*apv) +
            big_endian(encryption.key * 8),
        encryption.key);
}

const Encryption* read_header(
    JsonValue header, std::span<const std::string> allowed, std::string& why)
{
    auto alg = header["alg"].string();
    if (!alg) {
        why = "has no alg";
        return nullptr;
    }
    if (!is_known_encryption_alg(*alg) ||
        std::find(allowed.begin(), allowed.end(), *alg) == allowed.end()) {
        why = "is encrypted with " + quoted(*alg) +
            ", which id_token_encrypted_alg does not list";
        return nullptr;
    }
    if (header.mentions("crit")) {
        why = "has a critical extension";
        return nullptr;
    }
    if (header["zip"].exists()) {
        why = "is compressed";
        return nullptr;
    }
    auto encryption = find_encryption(header["enc"].string().value_or(""));
    if (encryption == nullptr) {
        why =
            "has an unknown enc " + quoted(header["enc"].string().value_or(""));
    }
    return encryption;
}

// RFC 7516, 5.2, 10; cjose before 0.6.2.2 took a tag of any size for GCM
// (CVE-2023-37464).
bool has_exact_sizes(const Parts& parts, const Encryption& encryption,
    std::string_view alg, const DecryptionKeys& keys, std::string& why)
{
    auto key_size = is_rsa(alg) ? keys.key->modulus_size() : 0;
    if (parts.iv_size != encryption.iv || parts.tag_size != encryption.tag ||
        parts.key_size != key_size) {
        why = "has a part of the wrong size";
        return false;
    }
    return true;
}

bool has_key(std::string_view alg, const DecryptionKeys& keys, std::string& why)
{
    if (alg == "dir") {
        if (keys.client_secret.size() < min_dir_secret) {
            why = "is encrypted with a client_secret shorter than " +
                std::to_string(min_dir_secret) + " bytes";
            return false;
        }
        return true;
    }
    if (keys.key == nullptr || !keys.key->can_decrypt(alg)) {
        why = "is encrypted with " + quoted(alg) +
            ", for which there is no client_key";
        return false;
    }
    return true;
}

// `why` stays empty if the ciphertext does not decrypt.
std::optional<std::string> open(const Parts& parts, JsonValue header,
    const DecryptionKeys& keys, const Encryption& encryption, std::string& why)
{
    auto alg = *header["alg"].string();
    if (is_rsa(alg)) {
        return open_directly(parts, unwrap(parts, alg, *keys.key, encryption));
    }
    auto key = alg == "dir" ?
        key_of_secret(keys.client_secret, encryption.key) :
        agree(header, *keys.key, encryption, why);
    return key ? open_directly(parts, *key) : std::nullopt;
}

}

bool is_known_encryption_alg(std::string_view name)
{
    return is_rsa(name) || name == "ECDH-ES" || name == "dir";
}

bool is_jwe(std::string_view compact)
{
    return std::count(compact.begin(), compact.end(), '.') == part_count - 1;
}

std::optional<std::string> decrypt(std::string_view compact,
    const DecryptionKeys& keys, std::span<const std::string> allowed,
    std::string& why)
{
    auto parts = split(compact, why);
    if (!parts) {
        return {};
    }
    auto document = Json::parse(parts->header_text, why);
    if (!document) {
        why = "has " + why + " in its header";
        return {};
    }
    auto header = document->root();
    auto encryption = read_header(header, allowed, why);
    if (encryption == nullptr) {
        return {};
    }
    auto alg = *header["alg"].string();
    if (!has_key(alg, keys, why) ||
        !has_exact_sizes(*parts, *encryption, alg, keys, why)) {
        return {};
    }

    why.clear();
    auto plain = open(*parts, header, keys, *encryption, why);
    ERR_clear_error();
    if (!plain && why.empty()) {
        why = "cannot be decrypted";
    }
    return plain;
}

}
