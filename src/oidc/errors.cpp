#include "oidc/errors.h"

#include "core/encoding.h"

#include <algorithm>
#include <array>

namespace oidc {
namespace {

using enum Level;

struct FamilyRow {
    Family family;
    int status;
    Level level;
};

constexpr FamilyRow families[] = {
    {Family::internal, 500, error},
    {Family::request, 400, warn},
    {Family::provider, 400, error},
    {Family::refusal, 502, error},
    {Family::token, 403, error},
    {Family::upstream, 502, error},
    {Family::store, 503, error},
};

struct Exception {
    Errc code;
    int status;
    Level level;
};

constexpr Exception exceptions[] = {
    // The browser keeps no cookies, or their scope is wrong.
    {Errc::login_loop, 400, notable},
    {Errc::state_cookie, 400, notable},
    {Errc::login_limit, 429, warn},
    {Errc::logout_limit, 429, warn},
    // Not requested by the user: a prefetch, or a part of a page.
    {Errc::login_unasked, 503, warn},
    {Errc::logout_unasked, 503, warn},
    // As nginx's own access module logs a refusal.
    {Errc::forbidden, 403, error},
    // A mix-up of issuers, or a configuration that allows one: for the
    // operator.
    {Errc::callback_issuer, 400, error},
    // Usually the user's own decision.
    {Errc::provider_access_denied, 403, warn},
    // The client as it is configured or registered.
    {Errc::refused_invalid_client, 500, error},
    {Errc::refused_invalid_scope, 500, error},
    {Errc::refused_unauthorized_client, 500, error},
    {Errc::refused_unsupported_response_type, 500, error},
    // The browser brought the code.
    {Errc::refused_invalid_grant, 400, error},
    {Errc::upstream_timeout, 504, error},
};

constexpr std::string_view brought = "provider_";
constexpr std::string_view answered = "refused_";

#define OIDC_NAME(family, word) #word,
constexpr std::string_view names[] = {OIDC_ERRORS(OIDC_NAME)};
#undef OIDC_NAME

// provider_x of refused_x
constexpr std::string_view word_of(Family family, std::string_view name)
{
    if (family != Family::refusal) {
        return name;
    }
    name.remove_prefix(answered.size());
    return *std::find_if(
        std::begin(names), std::end(names), [&](std::string_view other) {
            return other.starts_with(brought) &&
                other.substr(brought.size()) == name;
        });
}

Errc find_code(std::string_view prefix, std::string_view error, Errc otherwise)
{
    for (std::size_t i = 0; i < std::size(names); i++) {
        if (names[i].starts_with(prefix) &&
            names[i].substr(prefix.size()) == error) {
            return static_cast<Errc>(i);
        }
    }
    return otherwise;
}

constexpr Fault make_fault(Family family, Errc code, std::string_view word)
{
    for (const auto& row : exceptions) {
        if (row.code == code) {
            return {code, family, word, row.status, row.level};
        }
    }
    const auto& row = *std::find_if(std::begin(families), std::end(families),
        [&](const FamilyRow& row) { return row.family == family; });
    return {code, family, word, row.status, row.level};
}

#define OIDC_FAULT(family, word)                                               \
    make_fault(Family::family, Errc::word, word_of(Family::family, #word)),
constexpr Fault faults[] = {OIDC_ERRORS(OIDC_FAULT)};
#undef OIDC_FAULT

}

const Fault& fault(Errc code)
{
    return faults[static_cast<std::size_t>(code)];
}

Errc provider_errc(std::string_view error)
{
    return find_code(brought, error, Errc::provider_error);
}

Errc refusal_errc(std::string_view error)
{
    return find_code(answered, error, Errc::refused_error);
}

bool wants_newer_keys(const Error& error)
{
    constexpr Errc codes[] = {
        Errc::id_token_key,
        Errc::id_token_signature,
        Errc::userinfo_key,
        Errc::userinfo_signature,
        Errc::logout_token_key,
        Errc::logout_token_signature,
    };
    return std::find(std::begin(codes), std::end(codes), error.code) !=
        std::end(codes);
}

std::string asked_url(std::string_view url, const Error& error)
{
    auto family = fault(error.code).family;
    auto name = quoted(url.substr(0, url.find('?')));
    auto is_of_response = family == Family::provider ||
        family == Family::refusal || family == Family::token ||
        family == Family::upstream;
    return url.empty() || !is_of_response ||
            error.detail.find(name) != error.detail.npos ?
        "" :
        ", url " + name;
}

}
