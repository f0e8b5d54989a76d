#include "oidc/cookies.h"

#include <iterator>
#include <utility>

namespace oidc {
namespace {

constexpr std::string_view host_prefix = "__Host-";
constexpr std::string_view secure_prefix = "__Secure-";

bool has_prefix(std::string_view name)
{
    return name.starts_with(host_prefix) || name.starts_with(secure_prefix);
}

std::string prefixed(
    const Client& client, bool secure, std::string_view bare_name)
{
    if (!secure) {
        return std::string(bare_name);
    }
    auto is_of_host = client.cookie_domain.empty() && client.cookie_path == "/";
    return std::string(is_of_host ? host_prefix : secure_prefix)
        .append(bare_name);
}

CookieScope scope(const Client& client, std::string name, bool secure,
    std::string_view same_site)
{
    CookieScope scope;
    scope.secure = secure || same_site == "None" || has_prefix(name);
    scope.name = std::move(name);
    scope.domain = client.cookie_domain;
    scope.path = client.cookie_path;
    scope.same_site = same_site;
    scope.partitioned = client.cookie_partitioned;
    return scope;
}

CookieScope session_scope(const Client& client, bool secure)
{
    return scope(client, session_cookie_name(client, secure), secure,
        client.cookie_same_site);
}

void append(std::vector<std::string>& list, std::vector<std::string> more)
{
    list.insert(list.end(), std::make_move_iterator(more.begin()),
        std::make_move_iterator(more.end()));
}

std::vector<std::string> clear_other_scheme(
    const Client& client, CookieLines cookies, bool secure)
{
    auto scope = session_scope(client, !secure);
    scope.secure |= secure;
    return scope.name == session_cookie_name(client, secure) ?
        std::vector<std::string>() :
        clear_chunks(scope, cookies);
}

}

std::string session_cookie_name(const Client& client, bool secure)
{
    return has_prefix(client.cookie_name) ?
        client.cookie_name :
        prefixed(client, secure, client.cookie_name);
}

std::string_view bare_cookie_name(std::string_view name)
{
    for (auto prefix : {host_prefix, secure_prefix}) {
        if (name.starts_with(prefix)) {
            return name.substr(prefix.size());
        }
    }
    return name;
}

// A form that the provider's page posts is a cross-site POST: browsers send
// only SameSite=None cookies with it, and accept those only if they are Secure.
CookieScope login_scope(
    const Client& client, bool secure, std::string_view suffix)
{
    auto name = prefixed(client, secure, bare_cookie_name(client.cookie_name));
    auto is_cross_site = client.response_mode == ResponseMode::form_post ||
        client.cookie_same_site == "None";
    return scope(client, name.append("_login_").append(suffix), secure,
        is_cross_site ? "None" : "Lax");
}

std::vector<std::string> session_cookies(const Client& client,
    std::string_view value, CookieLines cookies, bool secure)
{
    auto own = session_scope(client, secure);
    auto set = set_chunks(own, value, cookies);
    if (secure) {
        append(set, clear_other_scheme(client, cookies, secure));
    }
    return set;
}

std::vector<std::string> clear_session(
    const Client& client, CookieLines cookies, bool secure)
{
    auto cleared = clear_chunks(session_scope(client, secure), cookies);
    append(cleared, clear_unpartitioned(client, cookies, secure));
    append(cleared, clear_other_scheme(client, cookies, secure));
    return cleared;
}

std::vector<std::string> clear_unpartitioned(
    const Client& client, CookieLines cookies, bool secure)
{
    auto scope = session_scope(client, secure);
    if (!std::exchange(scope.partitioned, false)) {
        return {};
    }
    return clear_chunks(scope, cookies);
}

}
