#include "flow/origins.h"

#include "core/encoding.h"
#include "core/http.h"
#include "core/url.h"
#include "oidc/errors.h"

namespace oidc {
namespace {

// Nothing of a path that Origins refuses: it could add attributes to a cookie.
std::string prefix_of(const Url& url)
{
    std::string_view path = url.path;
    if (path.ends_with('/')) {
        path.remove_suffix(1);
    }
    return is_plain_path(path) ? std::string(path) : "";
}

bool share_cookies(
    const Client& client, std::string_view host, std::string_view other)
{
    return host == other ||
        (domain_matches(host, client.cookie_domain) &&
            domain_matches(other, client.cookie_domain));
}

}

bool is_secure(const Client& client, std::string_view origin)
{
    auto url = parse_url(
        client.redirect_uri.starts_with('/') ? origin : client.redirect_uri);
    return url && url->secure();
}

Site site_of(const Client& client, std::string_view base_url)
{
    auto url = parse_url(base_url);
    return {is_secure(client, base_url), url ? prefix_of(*url) : ""};
}

Result<Origins> Origins::of(const Client& client, std::string_view base_url)
{
    auto page = parse_url(base_url);
    Origins origins;
    if (!page || page->has_query || !is_plain_path(page->path)) {
        return Error{Errc::request_host,
            "request has no usable base URL, " + quoted(base_url)};
    }
    origins.prefix = prefix_of(*page);
    if (client.redirect_uri.starts_with('/')) {
        origins.page = origins.callback = page->origin();
        origins.redirect_uri =
            origins.callback + origins.prefix + client.redirect_uri;
        origins.secure = page->secure();
        return origins;
    }
    auto callback = parse_url(client.redirect_uri);
    if (!callback || !share_cookies(client, page->host, callback->host)) {
        return Error{Errc::request_host,
            "client requested host " + quoted(base_url) +
                ", which shares no cookies with redirect_uri " +
                quoted(client.redirect_uri)};
    }
    // An absolute URI also has the browser's scheme where a proxy terminates
    // TLS.
    origins.redirect_uri = client.redirect_uri;
    origins.callback = callback->origin();
    origins.secure = callback->secure();
    origins.page = callback->scheme + "://" + page->authority();
    return origins;
}

// The configuration protects the page; escapes in its path are the client's.
Check Origins::check_page(const Client& client, std::string_view target) const
{
    auto host = parse_url(page)->host;
    if (!client.cookie_domain.empty() &&
        !domain_matches(host, client.cookie_domain)) {
        return Error{Errc::request_host,
            "client requested host " + quoted(host) +
                ", which is not in cookie_domain " +
                quoted(client.cookie_domain)};
    }
    auto path = return_target(target.substr(0, target.find('?')));
    if (!path_matches(path, client.cookie_path)) {
        auto is_escaped = path.find('%') != path.npos;
        return Error{is_escaped ? Errc::request_host : Errc::config_unusable,
            "client requested page " + quoted(path) +
                ", which is not below cookie_path " +
                quoted(client.cookie_path)};
    }
    return Ok{};
}

}
