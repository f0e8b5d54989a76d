#include "flow/login.h"

#include "core/encode.h"
#include "core/url.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr std::size_t binding_size = 16; // random bytes
constexpr std::size_t binding_text = 22; // as base64url
constexpr std::size_t browser_size = 3;  // random bytes of a name
constexpr std::size_t browser_text = 4;
constexpr std::size_t longest_in_state = 1024;
constexpr std::size_t longest_target = 4096;

// __Host- (RFC 6265bis, 4.1.3.2): no other host can plant such a cookie.
std::string login_cookie(const Client& client, bool secure)
{
    auto hosted =
        secure && client.cookie_domain.empty() && client.cookie_path == "/";
    std::string_view name = client.cookie_name;
    for (std::string_view prefix : {"__Host-", "__Secure-"}) {
        if (name.starts_with(prefix)) {
            name.remove_prefix(prefix.size());
        }
    }
    return (hosted ? "__Host-" : "") + std::string(name) + "_login_";
}

CookieScope login_scope(
    const Client& client, bool secure, std::string_view suffix)
{
    return {login_cookie(client, secure).append(suffix), client.cookie_domain,
        client.cookie_path, "Lax", secure};
}

bool is_secure(const Visit& visit)
{
    return visit.origin.starts_with("https:");
}

struct Browser {
    std::string name; // suffix of the binding cookie
    std::string value;
};

bool is_binding(std::string_view suffix, std::string_view value)
{
    return suffix.size() == browser_text && value.size() == binding_text &&
        base64url_decode(value).has_value();
}

// The first binding that the browser sends: logins begun one after the other
// share it.
std::optional<Browser> known_browser(
    const Provider& provider, const Visit& visit)
{
    auto prefix = login_cookie(provider.client(), is_secure(visit));
    std::optional<Browser> browser;

    each_cookie(
        visit.cookies, [&](std::string_view name, std::string_view value) {
            if (name.starts_with(prefix) &&
                is_binding(name.substr(prefix.size()), value)) {
                browser = Browser{std::string(name.substr(prefix.size())),
                    std::string(value)};
            }
            return browser.has_value();
        });
    return browser;
}

// A name of its own for every new browser, so that tabs that start at once do
// not overwrite each other's.
Browser new_browser(Random random)
{
    return {base64url(random(browser_size)), base64url(random(binding_size))};
}

std::string target_binding(
    const Provider& provider, const Transaction& transaction)
{
    return bind_fields(
        {provider.state_binding(), "return target", transaction.id});
}

CookieScope target_scope(
    const Client& client, bool secure, const Transaction& transaction)
{
    return login_scope(client, secure, transaction.browser + "_url");
}

// Some providers bound the state: a long target travels in a cookie, and the
// state keeps its path, for the day that the cookie is lost.
std::vector<std::string> seal_target(const Provider& provider,
    const Visit& visit, Transaction& transaction, const World& world)
{
    auto whole = std::move(transaction.target);
    transaction.target = whole.substr(0, whole.find('?'));
    if (transaction.target.size() > longest_in_state) {
        transaction.target = "/";
    }
    if (whole.size() > longest_target) {
        return {};
    }
    transaction.target_elsewhere = true;
    auto sealed = provider.state_ring().seal(
        whole, target_binding(provider, transaction), world.random);
    return set_chunks(
        target_scope(provider.client(), is_secure(visit), transaction),
        base64url(sealed), visit.cookies, provider.client().pre_auth_timeout);
}

std::optional<std::string> open_target(const Provider& provider,
    const Visit& visit, const Transaction& transaction)
{
    auto name =
        target_scope(provider.client(), is_secure(visit), transaction).name;
    auto head = find_cookie(visit.cookies, name);
    if (!head) {
        return {};
    }
    auto value = join_chunks(visit.cookies, name, *head);
    auto sealed = value ? base64url_decode(*value) : std::nullopt;
    if (!sealed) {
        return {};
    }
    auto opened = provider.state_ring().open(
        *sealed, target_binding(provider, transaction));
    return opened ? std::optional(std::move(opened->plain)) : std::nullopt;
}

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

Result<RedirectUri> redirect_uri(const Client& client, const Visit& visit)
{
    if (client.redirect_uri.starts_with('/')) {
        return RedirectUri{visit.origin + client.redirect_uri, visit.origin};
    }
    auto callback = parse_url(client.redirect_uri);
    auto here = parse_url(visit.origin);
    if (!callback || !here ||
        !share_cookies(client, here->host, callback->host)) {
        return Error{Errc::request_host,
            "client asked for host " + quoted(visit.origin) +
                ", which shares no cookie with redirect_uri " +
                quoted(client.redirect_uri)};
    }
    return RedirectUri{client.redirect_uri, callback->origin()};
}

Step begin_login(const Provider& provider, const Metadata& metadata,
    const Visit& visit, const RedirectUri& redirect, const Departure& departure,
    const World& world)
{
    const auto& client = provider.client();
    auto browser =
        known_browser(provider, visit).value_or(new_browser(world.random));

    Transaction transaction;
    transaction.id = world.random(16);
    transaction.started = world.now;
    transaction.attempt = departure.attempt;
    transaction.browser = browser.name;
    transaction.browser_digest = digest_of_binding(browser.value);
    transaction.origin = departure.origin;
    transaction.target = departure.target;

    Finish finish;
    if (transaction.target.size() > longest_in_state) {
        finish.cookies = seal_target(provider, visit, transaction, world);
    }
    finish.cookies.push_back(
        set_cookie(login_scope(client, is_secure(visit), browser.name),
            browser.value, client.pre_auth_timeout));

    auto sealed =
        seal_state(provider, transaction, browser.value, world.random);
    finish.location = authorization_url(
        provider, metadata, redirect.url, sealed, visit.extra_args);
    return finish;
}

BrowserBinding find_binding(const Provider& provider, const Visit& visit,
    const Transaction& transaction)
{
    auto prefix = login_cookie(provider.client(), is_secure(visit));
    BrowserBinding binding{Bound::none, {}};

    each_cookie(
        visit.cookies, [&](std::string_view name, std::string_view value) {
            if (!name.starts_with(prefix) ||
                !is_binding(name.substr(prefix.size()), value)) {
                return false;
            }
            binding.bound = Bound::foreign;
            if (name.substr(prefix.size()) == transaction.browser &&
                equal(digest_of_binding(value), transaction.browser_digest)) {
                binding = {Bound::ours, std::string(value)};
            }
            return binding.bound == Bound::ours;
        });
    return binding;
}

std::string whole_target(const Provider& provider, const Visit& visit,
    const Transaction& transaction)
{
    auto whole = transaction.target_elsewhere ?
        open_target(provider, visit, transaction) :
        std::nullopt;
    return whole.value_or(transaction.target);
}

std::string return_location(const Provider& provider, const Visit& visit,
    const Transaction& transaction)
{
    return transaction.origin +
        return_target(whole_target(provider, visit, transaction));
}

std::vector<std::string> clear_login(const Provider& provider,
    const Visit& visit, const Transaction& transaction)
{
    return clear_chunks(
        target_scope(provider.client(), is_secure(visit), transaction),
        visit.cookies);
}

}
