#include "core/crypto.h"

#include <algorithm>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#include <array>
#include <cstdint>
#include <stdexcept>

namespace oidc {
namespace {

constexpr std::size_t key_size = 32;
constexpr std::size_t block_size = 16;
constexpr std::size_t gcm_nonce_size = 12;
constexpr std::size_t tag_size = 16;
constexpr std::size_t id_size = 4;

using Block = std::array<unsigned char, block_size>;

struct FreeCipher {
    void operator()(EVP_CIPHER_CTX* context) const
    {
        EVP_CIPHER_CTX_free(context);
    }
};

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

const unsigned char* bytes(std::string_view text)
{
    return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* bytes(std::string& text)
{
    return reinterpret_cast<unsigned char*>(text.data());
}

// OpenSSL calls that fail only without memory or in a broken build.
void ensure(bool done)
{
    if (!done) {
        ERR_clear_error();
        throw std::runtime_error("OpenSSL failed");
    }
}

Cipher make_cipher(const EVP_CIPHER* type, const unsigned char* key)
{
    Cipher context(EVP_CIPHER_CTX_new());
    ensure(context != nullptr);
    ensure(EVP_EncryptInit_ex(context.get(), type, nullptr, key, nullptr));
    ensure(EVP_CIPHER_CTX_set_padding(context.get(), 0));
    return context;
}

const EVP_MD* md(Hash hash)
{
    switch (hash) {
    case Hash::sha384:
        return EVP_sha384();
    case Hash::sha512:
        return EVP_sha512();
    default:
        return EVP_sha256();
    }
}

// XAES-256-GCM: AES-256-GCM under a key that CMAC derives from half of the
// nonce (NIST SP 800-108r1 in counter mode; two blocks, so the subkey K1).
class Xaes {
public:
    explicit Xaes(std::string_view key) :
        ecb_(make_cipher(EVP_aes_256_ecb(), bytes(key))),
        gcm_(make_cipher(EVP_aes_256_gcm(), nullptr)), k1_{}
    {
        encrypt(k1_.data(), k1_.data(), block_size);

        auto carry = static_cast<unsigned char>(k1_[0] & 0x80 ? 0x87 : 0);
        for (std::size_t i = 0; i + 1 < block_size; i++) {
            k1_[i] = static_cast<unsigned char>(k1_[i] << 1 | k1_[i + 1] >> 7);
        }
        k1_.back() = static_cast<unsigned char>(k1_.back() << 1 ^ carry);
    }

    ~Xaes() { OPENSSL_cleanse(k1_.data(), k1_.size()); }

    // Writes plain.size() + tag_size bytes.
    void seal(std::string_view nonce, std::string_view plain,
        std::string_view associated, unsigned char* out)
    {
        start(nonce, 1);
        update(nullptr, associated);
        update(out, plain);
        int size = 0;
        ensure(EVP_EncryptFinal_ex(gcm_.get(), out + plain.size(), &size));
        ensure(EVP_CIPHER_CTX_ctrl(
            gcm_.get(), EVP_CTRL_AEAD_GET_TAG, tag_size, out + plain.size()));
    }

    std::optional<std::string> open(std::string_view nonce,
        std::string_view sealed, std::string_view associated)
    {
        auto text = sealed.substr(0, sealed.size() - tag_size);
        std::string tag(sealed.substr(text.size()));
        std::string plain(text.size(), '\0');

        start(nonce, 0);
        ensure(EVP_CIPHER_CTX_ctrl(
            gcm_.get(), EVP_CTRL_AEAD_SET_TAG, tag_size, bytes(tag)));
        update(nullptr, associated);
        update(bytes(plain), text);

        int size = 0;
        unsigned char none[block_size];
        if (EVP_CipherFinal_ex(gcm_.get(), none, &size) != 1) {
            ERR_clear_error();
            return {};
        }
        return plain;
    }

private:
    void start(std::string_view nonce, int sealing)
    {
        auto key = derive(nonce.substr(0, gcm_nonce_size));
        ensure(EVP_CipherInit_ex(gcm_.get(), nullptr, nullptr, key.data(),
            bytes(nonce.substr(gcm_nonce_size)), sealing));
        OPENSSL_cleanse(key.data(), key.size());
    }

    std::array<unsigned char, key_size> derive(std::string_view half)
    {
        std::array<unsigned char, key_size> key{};

        for (std::size_t n = 0; n < 2; n++) {
            auto block = key.data() + n * block_size;
            block[1] = static_cast<unsigned char>(n + 1);
            block[2] = 'X';
            for (std::size_t i = 0; i < half.size(); i++) {
                block[4 + i] = static_cast<unsigned char>(half[i]);
            }
            for (std::size_t i = 0; i < block_size; i++) {
                block[i] ^= k1_[i];
            }
        }
        encrypt(key.data(), key.data(), key.size());
        return key;
    }

    void encrypt(unsigned char* out, const unsigned char* in, std::size_t size)
    {
        int written = 0;
        ensure(EVP_EncryptUpdate(
            ecb_.get(), out, &written, in, static_cast<int>(size)));
    }

    void update(unsigned char* out, std::string_view in)
    {
        int written = 0;
        ensure(EVP_CipherUpdate(
            gcm_.get(), out, &written, bytes(in), static_cast<int>(in.size())));
    }

    Cipher ecb_;
    Cipher gcm_;
    Block k1_;
};

}

Secret& Secret::operator=(const Secret& other)
{
    if (this != &other) {
        wipe();
        text_ = other.text_;
    }
    return *this;
}

void Secret::wipe()
{
    OPENSSL_cleanse(text_.data(), text_.size());
}

std::string random_bytes(std::size_t size)
{
    std::string random(size, '\0');
    ensure(RAND_bytes(bytes(random), static_cast<int>(size)) == 1);
    return random;
}

std::string digest(Hash hash, std::string_view text)
{
    std::string sum(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    ensure(EVP_Digest(
        text.data(), text.size(), bytes(sum), &size, md(hash), nullptr));
    sum.resize(size);
    return sum;
}

bool equal(std::string_view a, std::string_view b)
{
    return a.size() == b.size() &&
        CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string hkdf(std::string_view key, std::string_view info, std::size_t size)
{
    std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
        EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr), EVP_PKEY_CTX_free);
    auto ctx = context.get();
    std::string derived(size, '\0');

    ensure(ctx != nullptr);
    ensure(EVP_PKEY_derive_init(ctx) == 1);
    ensure(EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) == 1);
    ensure(EVP_PKEY_CTX_set1_hkdf_key(
               ctx, bytes(key), static_cast<int>(key.size())) == 1);
    ensure(EVP_PKEY_CTX_add1_hkdf_info(
               ctx, bytes(info), static_cast<int>(info.size())) == 1);
    ensure(EVP_PKEY_derive(ctx, bytes(derived), &size) == 1);
    return derived;
}

std::string bind_fields(std::initializer_list<std::string_view> fields)
{
    std::string bound;
    for (auto field : fields) {
        bound += std::to_string(field.size());
        bound += ':';
        bound += field;
    }
    return bound;
}

class KeyRing::Key {
public:
    Key(std::string_view master, std::string_view purpose) :
        id(hkdf(master, bind_fields({"oidc key id", purpose}), id_size)),
        secret(hkdf(master, bind_fields({"oidc key", purpose}), key_size)),
        xaes(secret.reveal())
    {
    }

    std::string id;
    Secret secret;
    mutable Xaes xaes;
};

KeyRing::KeyRing(std::span<const Secret> masters, std::string_view purpose)
{
    for (const auto& master : masters) {
        keys_.push_back(std::make_shared<Key>(master.reveal(), purpose));
    }
}

std::string KeyRing::seal(
    std::string_view plain, std::string_view associated, Random random) const
{
    const auto& key = *keys_.front();
    auto nonce = random(nonce_size);

    auto sealed = key.id + nonce;
    auto start = sealed.size();
    sealed.resize(start + plain.size() + tag_size);
    key.xaes.seal(nonce, plain, associated, bytes(sealed) + start);
    return sealed;
}

std::optional<KeyRing::Opened> KeyRing::open(
    std::string_view sealed, std::string_view associated) const
{
    if (sealed.size() < id_size + nonce_size + tag_size) {
        return {};
    }
    auto id = sealed.substr(0, id_size);
    auto nonce = sealed.substr(id_size, nonce_size);
    auto rest = sealed.substr(id_size + nonce_size);

    for (std::size_t i = 0; i < keys_.size(); i++) {
        if (keys_[i]->id != id) {
            continue;
        }
        if (auto plain = keys_[i]->xaes.open(nonce, rest, associated)) {
            return Opened{std::move(*plain), i};
        }
    }
    return {};
}

bool KeyRing::is_foreign(std::string_view sealed) const
{
    return sealed.size() >= id_size + nonce_size + tag_size &&
        std::none_of(keys_.begin(), keys_.end(), [&](const auto& key) {
            return key->id == sealed.substr(0, id_size);
        });
}

std::string KeyRing::derive(
    std::size_t key, std::string_view info, std::size_t size) const
{
    return hkdf(keys_.at(key)->secret.reveal(), info, size);
}

std::string xaes_seal(std::string_view key, std::string_view nonce,
    std::string_view plain, std::string_view associated)
{
    std::string sealed(plain.size() + tag_size, '\0');
    Xaes(key).seal(nonce, plain, associated, bytes(sealed));
    return sealed;
}

}
