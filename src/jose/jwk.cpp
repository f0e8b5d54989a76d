#include "jose/jwk.h"

#include "core/encoding.h"

#include <algorithm>

namespace oidc {

std::optional<Kty> kty_of(JsonValue jwk)
{
    auto name = jwk["kty"].string();
    if (name == "RSA") {
        return Kty::rsa;
    }
    if (name == "EC") {
        return Kty::ec;
    }
    if (name == "OKP") {
        return Kty::okp;
    }
    return {};
}

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

std::optional<Secret> octets(JsonValue jwk, const char* name)
{
    auto text = jwk[name].string();
    auto decoded = text ? base64url_decode(*text) : std::nullopt;
    return decoded && !decoded->empty() ?
        std::optional<Secret>(std::move(*decoded)) :
        std::nullopt;
}

std::optional<Secret> octets(
    JsonValue jwk, const char* name, std::size_t exact_size)
{
    auto decoded = octets(jwk, name);
    return decoded && decoded->reveal().size() == exact_size ? decoded :
                                                               std::nullopt;
}

}
