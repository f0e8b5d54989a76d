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

// "/" after a prefix is left out: Path=/app/ would not cover /app.
std::string path_of(const Client& client, const Site& site)
{
    return !site.prefix.empty() && client.cookie_path == "/" ?
        site.prefix :
        site.prefix + client.cookie_path;
}

std::string prefixed(
    const Client& client, const Site& site, std::string_view bare_name)
{
    if (!site.secure) {
        return std::string(bare_name);
    }
    auto is_of_host =
        client.cookie_domain.empty() && path_of(client, site) == "/";
    return std::string(is_of_host ? host_prefix : secure_prefix)
        .append(bare_name);
}

CookieScope scope(const Client& client, std::string name, const Site& site,
    std::string_view same_site)
{
    CookieScope scope;
    scope.secure = site.secure || same_site == "None" || has_prefix(name);
    scope.name = std::move(name);
    scope.domain = client.cookie_domain;
    scope.path = path_of(client, site);
    scope.same_site = same_site;
    scope.partitioned = client.cookie_partitioned;
    return scope;
}

CookieScope session_scope(const Client& client, const Site& site)
{
    return scope(client, session_cookie_name(client, site), site,
        client.cookie_same_site);
}

void append(std::vector<std::string>& list, std::vector<std::string> more)
{
    list.insert(list.end(), std::make_move_iterator(more.begin()),
        std::make_move_iterator(more.end()));
}

std::vector<std::string> clear_other_scheme(
    const Client& client, CookieLines cookies, const Site& site)
{
    auto scope = session_scope(client, Site(!site.secure, site.prefix));
    scope.secure |= site.secure;
    return scope.name == session_cookie_name(client, site) ?
        std::vector<std::string>() :
        clear_chunks(scope, cookies);
}

}

std::string session_cookie_name(const Client& client, const Site& site)
{
    return has_prefix(client.cookie_name) ?
        client.cookie_name :
        prefixed(client, site, client.cookie_name);
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
    const Client& client, const Site& site, std::string_view suffix)
{
    auto name = prefixed(client, site, bare_cookie_name(client.cookie_name));
    auto is_cross_site = client.response_mode == ResponseMode::form_post ||
        client.cookie_same_site == "None";
    return scope(client, name.append("_login_").append(suffix), site,
        is_cross_site ? "None" : "Lax");
}

std::vector<std::string> session_cookies(const Client& client,
    std::string_view value, CookieLines cookies, const Site& site)
{
    auto own = session_scope(client, site);
    auto set = set_chunks(own, value, cookies);
    if (site.secure) {
        append(set, clear_other_scheme(client, cookies, site));
    }
    return set;
}

std::vector<std::string> clear_session(
    const Client& client, CookieLines cookies, const Site& site)
{
    auto cleared = clear_chunks(session_scope(client, site), cookies);
    append(cleared, clear_unpartitioned(client, cookies, site));
    append(cleared, clear_other_scheme(client, cookies, site));
    return cleared;
}

std::vector<std::string> clear_unpartitioned(
    const Client& client, CookieLines cookies, const Site& site)
{
    auto scope = session_scope(client, site);
    if (!std::exchange(scope.partitioned, false)) {
        return {};
    }
    return clear_chunks(scope, cookies);
}

}
