#include "jose/private_key.h"

#include "core/encode.h"

#include <cjose/cjose.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>

namespace oidc {
namespace {

constexpr int least_rsa_bits = 2048; // RFC 7518, 3.3
constexpr int most_rsa_bits = 16384;
constexpr std::size_t ed25519_size = 32;
constexpr std::size_t longest_string = 1024;

constexpr std::string_view discordant = "whose parts do not belong together";

struct Release {
    void operator()(BIGNUM* number) const { BN_clear_free(number); }
    void operator()(BN_CTX* context) const { BN_CTX_free(context); }
    void operator()(BIO* bio) const { BIO_free(bio); }
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
    void operator()(OSSL_PARAM* params) const { OSSL_PARAM_free(params); }
    void operator()(OSSL_PARAM_BLD* build) const { OSSL_PARAM_BLD_free(build); }
    void operator()(cjose_header_t* header) const
    {
        cjose_header_release(header);
    }
    void operator()(cjose_jwk_t* key) const { cjose_jwk_release(key); }
    void operator()(cjose_jws_t* jws) const { cjose_jws_release(jws); }
};

template <class T>
using Handled = std::unique_ptr<T, Release>;

const unsigned char* bytes(std::string_view text)
{
    return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* bytes(std::string& text)
{
    return reinterpret_cast<unsigned char*>(text.data());
}

// RFC 7518, 6.2.1.1
struct Curve {
    const char* name;
    const char* group; // for OpenSSL
    std::size_t size;  // of a coordinate, and of the private key
};

constexpr Curve curves[] = {
    {"P-256", "prime256v1", 32},
    {"P-384", "secp384r1", 48},
    {"P-521", "secp521r1", 66},
};

const Curve* find_curve(const char* Curve::*kind, std::string_view name)
{
    for (const auto& curve : curves) {
        if (curve.*kind == name) {
            return &curve;
        }
    }
    return nullptr;
}

// The parts of a key by their names here and there. A JWK has all of an RSA
// key's or only the first three (RFC 7518, 6.3.2).
struct Part {
    const char* jwk;
    const char* openssl;
};

constexpr std::array rsa_parts{
    Part{"n", OSSL_PKEY_PARAM_RSA_N},
    Part{"e", OSSL_PKEY_PARAM_RSA_E},
    Part{"d", OSSL_PKEY_PARAM_RSA_D},
    Part{"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
    Part{"q", OSSL_PKEY_PARAM_RSA_FACTOR2},
    Part{"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
    Part{"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2},
    Part{"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
};

constexpr std::size_t rsa_parts_least = 3;

constexpr std::array ec_parts{
    Part{"x", OSSL_PKEY_PARAM_EC_PUB_X},
    Part{"y", OSSL_PKEY_PARAM_EC_PUB_Y},
    Part{"d", OSSL_PKEY_PARAM_PRIV_KEY},
};

// The bytes of a member; nothing unless it is strict base64url.
std::optional<Secret> member(JsonValue jwk, const char* name)
{
    auto text = jwk[name].string();
    auto decoded = text ? base64url_decode(*text) : std::nullopt;
    return decoded && !decoded->empty() ?
        std::optional<Secret>(std::move(*decoded)) :
        std::nullopt;
}

std::optional<Secret> member(
    JsonValue jwk, const char* name, std::size_t exact_size)
{
    auto decoded = member(jwk, name);
    return decoded && decoded->reveal().size() == exact_size ? decoded :
                                                               std::nullopt;
}

// Makes a key of parameters.
class Assembly {
public:
    void add(const char* name, const Secret& number)
    {
        auto text = number.reveal();
        // A secure number makes a parameter that OpenSSL wipes.
        auto& secure = numbers_.emplace_back(BN_secure_new());
        good_ = good_ && secure != nullptr &&
            BN_bin2bn(bytes(text), static_cast<int>(text.size()),
                secure.get()) != nullptr &&
            OSSL_PARAM_BLD_push_BN(build_.get(), name, secure.get());
    }

    // `octets` must outlive the assembly.
    void add_octets(const char* name, std::string_view octets)
    {
        good_ = good_ &&
            OSSL_PARAM_BLD_push_octet_string(
                build_.get(), name, octets.data(), octets.size());
    }

    void add_name(const char* name, const char* value)
    {
        good_ = good_ &&
            OSSL_PARAM_BLD_push_utf8_string(build_.get(), name, value, 0);
    }

    Handled<EVP_PKEY> make(const char* type, int selection)
    {
        Handled<OSSL_PARAM> params(
            good_ ? OSSL_PARAM_BLD_to_param(build_.get()) : nullptr);
        Handled<EVP_PKEY_CTX> context(
            EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
        EVP_PKEY* key = nullptr;

        if (params != nullptr && context != nullptr &&
            EVP_PKEY_fromdata_init(context.get()) == 1) {
            EVP_PKEY_fromdata(context.get(), &key, selection, params.get());
        }
        return Handled<EVP_PKEY>(key);
    }

private:
    Handled<OSSL_PARAM_BLD> build_{OSSL_PARAM_BLD_new()};
    std::vector<Handled<BIGNUM>> numbers_;
    bool good_ = build_ != nullptr;
};

Handled<EVP_PKEY> import_rsa(JsonValue jwk)
{
    Assembly assembly;
    auto any_prime = [&] {
        return std::any_of(rsa_parts.begin() + rsa_parts_least, rsa_parts.end(),
            [&](const Part& part) { return jwk[part.jwk].exists(); });
    };
    auto count = any_prime() ? rsa_parts.size() : rsa_parts_least;
    if (jwk["oth"].exists()) { // more than two primes
        return nullptr;
    }
    for (std::size_t i = 0; i < count; i++) {
        auto number = member(jwk, rsa_parts[i].jwk);
        if (!number) {
            return nullptr;
        }
        assembly.add(rsa_parts[i].openssl, *number);
    }
    return assembly.make("RSA", EVP_PKEY_KEYPAIR);
}

// With `d` or, if that is nothing, the public key.
Handled<EVP_PKEY> import_ec(
    JsonValue jwk, const Curve& curve, const std::optional<Secret>& d)
{
    auto x = member(jwk, "x", curve.size);
    auto y = member(jwk, "y", curve.size);
    if (!x || !y) {
        return nullptr;
    }
    auto point = "\x04" + std::string(x->reveal()) + std::string(y->reveal());

    Assembly assembly;
    assembly.add_name(OSSL_PKEY_PARAM_GROUP_NAME, curve.group);
    assembly.add_octets(OSSL_PKEY_PARAM_PUB_KEY, point);
    if (d) {
        assembly.add(OSSL_PKEY_PARAM_PRIV_KEY, *d);
    }
    return assembly.make("EC", d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY);
}

Handled<EVP_PKEY> import_ec(JsonValue jwk)
{
    auto curve = find_curve(&Curve::name, jwk["crv"].string().value_or(""));
    auto d = curve != nullptr ? member(jwk, "d", curve->size) : std::nullopt;
    return d ? import_ec(jwk, *curve, d) : nullptr;
}

// RFC 8037, 2: OpenSSL derives the public key, which must be what "x" says.
Handled<EVP_PKEY> import_ed25519(JsonValue jwk, std::string& why)
{
    auto x = member(jwk, "x", ed25519_size);
    auto d = member(jwk, "d", ed25519_size);
    if (jwk["crv"].string() != "Ed25519" || !x || !d) {
        return nullptr;
    }
    Handled<EVP_PKEY> key(EVP_PKEY_new_raw_private_key(
        EVP_PKEY_ED25519, nullptr, bytes(d->reveal()), ed25519_size));
    std::string derived(ed25519_size, '\0');
    auto size = derived.size();
    if (key == nullptr ||
        EVP_PKEY_get_raw_public_key(key.get(), bytes(derived), &size) != 1) {
        return nullptr;
    }
    if (derived != x->reveal()) {
        why = discordant;
        return nullptr;
    }
    return key;
}

// "kid", where it is, goes into the header of what is signed.
bool has_sane_strings(JsonValue jwk)
{
    for (auto name : {"kid", "alg", "use"}) {
        auto text = jwk[name].string();
        if (jwk[name].exists() && (!text || text->size() > longest_string)) {
            return false;
        }
    }
    return true;
}

Handled<EVP_PKEY> import_jwk(JsonValue jwk, std::string& why)
{
    auto kty = jwk["kty"].string();
    if (kty != "RSA" && kty != "EC" && kty != "OKP") {
        why = "of an unknown type";
        return nullptr;
    }
    if (!jwk["d"].exists()) {
        why = "without its private parts";
        return nullptr;
    }
    why = "that is malformed";
    if (!has_sane_strings(jwk)) {
        return nullptr;
    }
    return kty == "RSA" ? import_rsa(jwk) :
        kty == "EC"     ? import_ec(jwk) :
                          import_ed25519(jwk, why);
}

// A password would be asked for on a terminal.
int refuse_password(char*, int, int, void* asked)
{
    *static_cast<bool*>(asked) = true;
    return -1;
}

Handled<EVP_PKEY> import_pem(std::string_view text, std::string& why)
{
    Handled<BIO> bio(
        BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    bool asked = false;
    Handled<EVP_PKEY> key(bio == nullptr ?
            nullptr :
            PEM_read_bio_PrivateKey(
                bio.get(), nullptr, refuse_password, &asked));
    if (key == nullptr) {
        why = asked ? "that is encrypted" :
                      "that is neither a JWK nor a private key in PEM";
    }
    return key;
}

std::optional<Kty> kty_of(EVP_PKEY* key)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return Kty::rsa;
    case EVP_PKEY_EC:
        return Kty::ec;
    case EVP_PKEY_ED25519:
        return Kty::okp;
    default:
        return {};
    }
}

const Curve* curve_of(EVP_PKEY* key)
{
    std::array<char, 64> name{};
    std::size_t size = 0;
    return EVP_PKEY_get_group_name(key, name.data(), name.size(), &size) == 1 ?
        find_curve(&Curve::group, {name.data(), size}) :
        nullptr;
}

Handled<BIGNUM> number(EVP_PKEY* key, const char* name)
{
    BIGNUM* value = nullptr;
    EVP_PKEY_get_bn_param(key, name, &value);
    return Handled<BIGNUM>(value);
}

std::optional<std::string> sign_once(EVP_PKEY* key, std::string_view text)
{
    auto type =
        EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
    Handled<EVP_MD_CTX> context(EVP_MD_CTX_new());
    std::size_t size = 0;
    if (context == nullptr ||
        EVP_DigestSignInit(context.get(), nullptr, type, nullptr, key) != 1 ||
        EVP_DigestSign(
            context.get(), nullptr, &size, bytes(text), text.size()) != 1) {
        return {};
    }
    std::string signature(size, '\0');
    if (EVP_DigestSign(context.get(), bytes(signature), &size, bytes(text),
            text.size()) != 1) {
        return {};
    }
    signature.resize(size);
    return signature;
}

// Its public half verifies what it signs.
bool signs_truly(EVP_PKEY* key)
{
    constexpr std::string_view text = "a text";
    auto signature = sign_once(key, text);
    Handled<EVP_MD_CTX> context(EVP_MD_CTX_new());
    return signature && context != nullptr &&
        EVP_DigestVerifyInit(
            context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
        EVP_DigestVerify(context.get(), bytes(*signature), signature->size(),
            bytes(text), text.size()) == 1;
}

// The primes are those of the modulus, and what is derived from them is so
// (RFC 8017, 3.2). OpenSSL hides a wrong one: it falls back to the exponent.
bool has_true_primes(EVP_PKEY* key)
{
    auto n = number(key, OSSL_PKEY_PARAM_RSA_N);
    auto d = number(key, OSSL_PKEY_PARAM_RSA_D);
    auto p = number(key, OSSL_PKEY_PARAM_RSA_FACTOR1);
    auto q = number(key, OSSL_PKEY_PARAM_RSA_FACTOR2);
    auto dp = number(key, OSSL_PKEY_PARAM_RSA_EXPONENT1);
    auto dq = number(key, OSSL_PKEY_PARAM_RSA_EXPONENT2);
    auto qi = number(key, OSSL_PKEY_PARAM_RSA_COEFFICIENT1);
    Handled<BIGNUM> a(BN_secure_new());
    Handled<BIGNUM> b(BN_secure_new());
    Handled<BN_CTX> context(BN_CTX_secure_new());
    if (!n || !d || !p || !q || !dp || !dq || !qi || !a || !b || !context) {
        return false;
    }
    auto c = context.get();
    auto is_exponent = [&](const BIGNUM* exponent, const BIGNUM* prime) {
        return BN_copy(a.get(), prime) != nullptr && BN_sub_word(a.get(), 1) &&
            BN_mod(b.get(), d.get(), a.get(), c) &&
            BN_cmp(b.get(), exponent) == 0;
    };
    return BN_mul(a.get(), p.get(), q.get(), c) &&
        BN_cmp(a.get(), n.get()) == 0 && is_exponent(dp.get(), p.get()) &&
        is_exponent(dq.get(), q.get()) &&
        BN_mod_mul(a.get(), qi.get(), q.get(), p.get(), c) &&
        BN_is_one(a.get());
}

// EVP_PKEY_check() would look for divisors of primes, for seconds where RSA has
// 8192 bits. An Ed25519 key has no way to be wrong after import.
bool belongs_together(EVP_PKEY* key, Kty kty)
{
    if (kty == Kty::okp) {
        return true;
    }
    if (kty == Kty::rsa) {
        auto has_primes = number(key, OSSL_PKEY_PARAM_RSA_FACTOR1) != nullptr;
        return (!has_primes || has_true_primes(key)) && signs_truly(key);
    }
    Handled<EVP_PKEY_CTX> context(
        EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
    return context != nullptr && EVP_PKEY_check(context.get()) == 1;
}

// The phrase for why not; empty if the key is one that we take.
std::string weakness(EVP_PKEY* key)
{
    auto known = kty_of(key);
    if (!known) {
        return "of an unknown type";
    }
    auto kty = *known;
    auto bits = EVP_PKEY_get_bits(key);
    if (kty == Kty::rsa && (bits < least_rsa_bits || bits > most_rsa_bits)) {
        return "of RSA with " + std::to_string(bits) + " bits";
    }
    if (kty == Kty::ec && curve_of(key) == nullptr) {
        return "on an unknown curve";
    }
    return std::string(belongs_together(key, kty) ? "" : discordant);
}

// Appends ,"name":"base64url" of at least `size` bytes; a part that the key
// has not got is left out.
void append(std::string& jwk, EVP_PKEY* key, const Part& part, std::size_t size)
{
    auto value = number(key, part.openssl);
    if (value == nullptr) {
        return;
    }
    auto needed =
        std::max(size, static_cast<std::size_t>(BN_num_bytes(value.get())));
    std::string octets(needed, '\0');
    BN_bn2binpad(value.get(), bytes(octets), static_cast<int>(needed));
    Secret decoded(std::move(octets));
    Secret encoded(base64url(decoded.reveal()));
    jwk += ",\"" + std::string(part.jwk) + "\":\"";
    jwk += encoded.reveal();
    jwk += '"';
}

// cjose, which knows no PEM and forgives too much in a JWK, gets one of ours.
Handled<cjose_jwk_t> to_cjose(EVP_PKEY* key, Kty kty)
{
    std::string text;
    text.reserve(16384); // else growing it leaves copies behind
    if (kty == Kty::rsa) {
        text = R"({"kty":"RSA")";
        for (const auto& part : rsa_parts) {
            append(text, key, part, 0);
        }
    } else {
        auto curve = curve_of(key);
        text = R"({"kty":"EC","crv":")" + std::string(curve->name) + '"';
        for (const auto& part : ec_parts) {
            append(text, key, part, curve->size);
        }
    }
    text += '}';

    Secret jwk(std::move(text));
    cjose_err error{};
    return Handled<cjose_jwk_t>(
        cjose_jwk_import(jwk.reveal().data(), jwk.reveal().size(), &error));
}

// RFC 7517, 4.2 and 4.3: where a key says what it is for, believe it.
bool is_for(JsonValue jwk, std::string_view use,
    std::initializer_list<std::string_view> operations)
{
    auto said = jwk["use"];
    auto listed = jwk["key_ops"];
    return (!said.exists() || said.string() == use) &&
        (!listed.exists() ||
            std::any_of(operations.begin(), operations.end(),
                [&](auto name) { return listed.has_string(name); }));
}

// The usual first: a provider without a list takes that.
constexpr std::string_view preference[] = {"RS256", "PS256", "RS384", "RS512",
    "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"};

std::vector<const Algorithm*> algorithms_of(
    Kty kty, std::string_view crv, JsonValue jwk)
{
    std::vector<const Algorithm*> fitting;
    if (!is_for(jwk, "sig", {"sign"})) {
        return fitting;
    }
    auto alg = jwk["alg"].string();
    for (auto name : preference) {
        auto algorithm = find_algorithm(name);
        if (algorithm->kty == kty && algorithm->crv == crv &&
            (!alg || *alg == name)) {
            fitting.push_back(algorithm);
        }
    }
    return fitting;
}

std::string_view encryption_of(Kty kty, JsonValue jwk)
{
    if (kty == Kty::okp ||
        !is_for(
            jwk, "enc", {"decrypt", "unwrapKey", "deriveKey", "deriveBits"})) {
        return {};
    }
    std::string_view name = kty == Kty::rsa ? "RSA-OAEP" : "ECDH-ES";
    auto alg = jwk["alg"].string();
    return !alg || *alg == name ? name : std::string_view();
}

std::optional<std::string> sign_by_cjose(const cjose_jwk_t* key,
    std::string_view alg, const std::string& kid, std::string_view payload)
{
    cjose_err error{};
    std::string plain(payload);
    Handled<cjose_header_t> header(cjose_header_new(&error));
    if (header == nullptr ||
        !cjose_header_set(
            header.get(), "alg", std::string(alg).c_str(), &error) ||
        !cjose_header_set(header.get(), "typ", "JWT", &error) ||
        (!kid.empty() &&
            !cjose_header_set(header.get(), "kid", kid.c_str(), &error))) {
        return {};
    }
    Handled<cjose_jws_t> jws(
        cjose_jws_sign(key, header.get(), bytes(plain), plain.size(), &error));
    const char* compact = nullptr; // owned by the JWS
    if (jws == nullptr || !cjose_jws_export(jws.get(), &compact, &error)) {
        return {};
    }
    return compact;
}

// RFC 8037, 3.1
std::optional<std::string> sign_by_ed25519(
    EVP_PKEY* key, const std::string& kid, std::string_view payload)
{
    auto header = kid.empty() ?
        json_object({{"alg", "EdDSA"}, {"typ", "JWT"}}) :
        json_object({{"alg", "EdDSA"}, {"typ", "JWT"}, {"kid", kid}});
    auto input = base64url(header) + "." + base64url(payload);
    auto signature = sign_once(key, input);
    return signature ?
        std::optional<std::string>(input + "." + base64url(*signature)) :
        std::nullopt;
}

bool is_jwk(std::string_view text)
{
    auto start = text.find_first_not_of(" \t\r\n");
    return start != std::string_view::npos && text[start] == '{';
}

}

class PrivateKey::Handle {
public:
    Handled<EVP_PKEY> evp;
    Handled<cjose_jwk_t> jwk;
};

std::optional<PrivateKey> PrivateKey::parse(
    std::string_view text, std::string& why)
{
    std::optional<Json> document;
    JsonValue jwk; // absent for PEM: no member restricts such a key
    if (is_jwk(text)) {
        document = Json::parse(text, why);
        if (!document) {
            why = "that is " + why;
            return {};
        }
        jwk = document->root();
    }

    auto handle = std::make_shared<Handle>();
    handle->evp = document ? import_jwk(jwk, why) : import_pem(text, why);
    if (handle->evp == nullptr) {
        ERR_clear_error();
        return {};
    }
    why = weakness(handle->evp.get());
    if (!why.empty()) {
        ERR_clear_error();
        return {};
    }

    PrivateKey key;
    key.kty_ = *kty_of(handle->evp.get());
    if (key.kty_ != Kty::okp) {
        handle->jwk = to_cjose(handle->evp.get(), key.kty_);
    }
    ERR_clear_error();
    if (key.kty_ != Kty::okp && handle->jwk == nullptr) {
        why = "that cannot be used";
        return {};
    }
    key.crv_ = key.kty_ == Kty::rsa ? "" :
        key.kty_ == Kty::okp        ? "Ed25519" :
                                      curve_of(handle->evp.get())->name;
    key.kid_ = jwk["kid"].string().value_or("");
    key.algorithms_ = algorithms_of(key.kty_, key.crv_, jwk);
    key.encryption_ = encryption_of(key.kty_, jwk);
    if (key.algorithms_.empty() && key.encryption_.empty()) {
        why = "that is neither for signatures nor for encryption we know";
        return {};
    }
    key.handle_ = std::move(handle);
    return key;
}

const Algorithm* PrivateKey::algorithm(
    std::span<const std::string> offered) const
{
    for (auto algorithm : algorithms_) {
        if (offered.empty() ||
            std::find(offered.begin(), offered.end(), algorithm->name) !=
                offered.end()) {
            return algorithm;
        }
    }
    return nullptr;
}

std::optional<std::string> PrivateKey::sign(
    const Algorithm& algorithm, std::string_view payload) const
{
    if (std::find(algorithms_.begin(), algorithms_.end(), &algorithm) ==
        algorithms_.end()) {
        return {};
    }
    auto compact = kty_ == Kty::okp ?
        sign_by_ed25519(handle_->evp.get(), kid_, payload) :
        sign_by_cjose(handle_->jwk.get(), algorithm.name, kid_, payload);
    ERR_clear_error();
    return compact;
}

std::optional<Secret> PrivateKey::agree(JsonValue epk) const
{
    if (kty_ != Kty::ec || epk["kty"].string() != "EC" ||
        epk["crv"].string() != crv_ || epk["d"].exists()) {
        return {};
    }
    // Import refuses a point that is not on the curve (RFC 8725, 3.4).
    auto peer = import_ec(epk, *find_curve(&Curve::name, crv_), std::nullopt);
    Handled<EVP_PKEY_CTX> context(
        EVP_PKEY_CTX_new_from_pkey(nullptr, handle_->evp.get(), nullptr));
    std::size_t size = 0;
    std::string shared;

    auto good = peer != nullptr && context != nullptr &&
        EVP_PKEY_derive_init(context.get()) == 1 &&
        EVP_PKEY_derive_set_peer(context.get(), peer.get()) == 1 &&
        EVP_PKEY_derive(context.get(), nullptr, &size) == 1;
    if (good) {
        shared.resize(size);
        good = EVP_PKEY_derive(context.get(), bytes(shared), &size) == 1 &&
            size == shared.size();
    }
    ERR_clear_error();
    return good ? std::optional<Secret>(std::move(shared)) : std::nullopt;
}

const cjose_jwk_t* PrivateKey::jwk() const
{
    return handle_->jwk.get();
}

std::optional<std::string> sign_with_secret(const Algorithm& algorithm,
    std::string_view secret, std::string_view payload)
{
    if (algorithm.kty != Kty::oct || secret.size() < algorithm.least_secret) {
        return {};
    }
    cjose_err error{};
    Handled<cjose_jwk_t> key(
        cjose_jwk_create_oct_spec(bytes(secret), secret.size(), &error));
    if (key == nullptr) {
        return {};
    }
    auto compact = sign_by_cjose(key.get(), algorithm.name, "", payload);
    ERR_clear_error();
    return compact;
}

}
