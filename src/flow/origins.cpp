#include "flow/origins.h"

#include "core/encoding.h"
#include "core/url.h"
#include "oidc/errors.h"

namespace oidc {
namespace {

// RFC 6265, 5.1.3
bool domain_matches(std::string_view host, std::string_view domain)
{
    if (domain.starts_with('.')) {
        domain.remove_prefix(1);
    }
    return !domain.empty() && host.ends_with(domain) &&
        (host.size() == domain.size() ||
            host[host.size() - domain.size() - 1] == '.');
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

Result<Origins> Origins::of(const Client& client, std::string_view origin)
{
    auto page = parse_url(origin);
    Origins origins;
    if (!page || page->target() != "/") {
        return Error{Errc::request_host,
            "request has no usable base URL, " + quoted(origin)};
    }
    if (client.redirect_uri.starts_with('/')) {
        origins.page = origins.callback = page->origin();
        origins.redirect_uri = origins.callback + client.redirect_uri;
        origins.secure = page->secure();
        return origins;
    }
    auto callback = parse_url(client.redirect_uri);
    if (!callback || !share_cookies(client, page->host, callback->host)) {
        return Error{Errc::request_host,
            "client requested host " + quoted(origin) +
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

}
