#include "flow/login.h"

#include "core/encoding.h"
#include "core/url.h"
#include "oidc/cookies.h"
#include "oidc/head.h"

#include <algorithm>
#include <utility>

namespace oidc {
namespace {

constexpr std::size_t transaction_id_size = 16; // random bytes
constexpr std::size_t login_cookie_size = 16;   // random bytes
constexpr std::size_t login_cookie_text = 22;   // as base64url
constexpr std::size_t browser_size = 3;         // random bytes of a name
constexpr std::size_t browser_text = 4;
constexpr std::size_t max_in_state = 1024;
constexpr std::size_t max_login_cookies = 20;
constexpr std::size_t max_deletions = 25; // in one response
constexpr Seconds max_login_interval = 20s;

bool is_login_cookie(std::string_view suffix, std::string_view value)
{
    return suffix.size() == browser_text && base64url_decode(suffix) &&
        value.size() == login_cookie_text && base64url_decode(value);
}

}

Error login_loop(unsigned login_count)
{
    return {Errc::login_loop,
        "client made " + std::to_string(login_count) +
            " login attempts without sending a session cookie"};
}

Result<Login> Login::at(const Provider& provider, const RequestView& view)
{
    return at_origin(provider, view, view.origin);
}

// A login that began over http, perhaps by an attacker, does not weaken one
// that ends over https.
Result<Login> Login::of(const Provider& provider, const RequestView& view,
    const Transaction& transaction)
{
    auto login = at_origin(provider, view, transaction.page);
    if (login) {
        login->origins_.secure |= is_secure(provider.client(), view.origin);
    }
    return login;
}

Result<Login> Login::at_origin(
    const Provider& provider, const RequestView& view, std::string_view origin)
{
    auto origins = Origins::of(provider.client(), origin);
    if (!origins) {
        return std::move(origins).error();
    }
    return Login(provider, view, std::move(*origins));
}

Login::Request Login::begin(const Metadata& metadata,
    const std::string& receipt, const Environment& env) const
{
    // A random name for each new browser, so that tabs that start at once do
    // not overwrite each other's login cookie.
    auto browser = known_browser();
    if (!browser) {
        browser = Browser{base64url(env.random(browser_size)),
            base64url(env.random(login_cookie_size))};
    }
    Transaction transaction;
    transaction.page = origins_.page + origins_.prefix;
    transaction.receipt = receipt;
    transaction.id = env.random(transaction_id_size);
    transaction.started = env.now;
    transaction.browser = browser->name;
    transaction.browser_digest = login_cookie_digest(browser->value);

    auto request = begin_within_head(transaction, *browser, metadata, env);
    clear_surplus(request.cookies);
    return request;
}

// The redirect with the most of the target that fits into a head. Some
// providers limit the length of the state: a long target is kept in a cookie,
// and the state has its path, or "/", in case the cookie is lost.
Login::Request Login::begin_within_head(const Transaction& transaction,
    const Browser& browser, const Metadata& metadata,
    const Environment& env) const
{
    auto whole = view_->target;
    auto path = whole.substr(0, whole.find('?'));
    const std::pair<std::string_view, bool> forms[] = {
        {whole, false}, {path, true}, {"/", true}, {path, false}};

    for (const auto& [target, elsewhere] : forms) {
        if (target.size() > max_in_state) {
            continue;
        }
        auto request =
            begin_with(transaction, target, elsewhere, browser, metadata, env);
        auto url = authorization_url(metadata, request.parameters);
        if (request.holds_target && room_in_head(url, request.cookies) > 0) {
            return request;
        }
    }
    return begin_with(transaction, "/", false, browser, metadata, env);
}

Login::Request Login::begin_with(Transaction transaction,
    std::string_view target, bool elsewhere, const Browser& browser,
    const Metadata& metadata, const Environment& env) const
{
    Request request;
    transaction.target = target;
    transaction.target_elsewhere = elsewhere;
    if (elsewhere) {
        request.cookies = seal_target(transaction, env);
        request.holds_target = !request.cookies.empty();
    }
    request.cookies.push_back(set_cookie(
        scope(browser.name), browser.value, client().pre_auth_timeout));
    auto sealed =
        seal_state(*provider_, transaction, browser.value, env.random);
    request.parameters = authorization_parameters(
        client(), metadata, origins_.redirect_uri, sealed, view_->extra_args);
    return request;
}

LoginCookie Login::find_login_cookie(const Transaction& transaction) const
{
    LoginCookie login_cookie{Bound::none, {}};

    each_login_cookie([&](std::string_view name, std::string_view value) {
        login_cookie.bound = Bound::others;
        if (name == transaction.browser &&
            equal(login_cookie_digest(value), transaction.browser_digest)) {
            login_cookie = {Bound::ours, std::string(value)};
        }
        return login_cookie.bound == Bound::ours;
    });
    return login_cookie;
}

bool Login::has_moved_to_https(const Transaction& transaction) const
{
    return origins_.secure && !is_secure(client(), transaction.page);
}

std::string Login::return_location(const Transaction& transaction) const
{
    return (origins_.page == origins_.callback ? "" : origins_.page) +
        origins_.prefix + return_target(whole_target(transaction));
}

std::vector<std::string> Login::clear(const Transaction& transaction) const
{
    std::vector<std::string> cookies;
    if (transaction.target_elsewhere && open_target(transaction)) {
        cookies = clear_chunks(target_scope(), view_->cookies);
    }
    clear_surplus(cookies);
    return cookies;
}

// A browser that restores a hundred tabs has a hundred login cookies, and nginx
// accepts a Cookie line of 8 KB. A login that loses its cookie ends at its page
// once another login of this browser has ended.
void Login::clear_surplus(std::vector<std::string>& cookies) const
{
    std::size_t seen = 0;
    each_login_cookie([&](std::string_view name, std::string_view) {
        if (++seen > max_login_cookies) {
            cookies.push_back(clear_cookie(scope(name)));
        }
        return seen == max_login_cookies + max_deletions;
    });
}

CookieScope Login::scope(std::string_view suffix) const
{
    return login_scope(client(), site(), suffix);
}

CookieScope Login::login_count_scope() const
{
    return scope("rounds");
}

unsigned Login::login_count() const
{
    auto value = find_cookie(view_->cookies, login_count_scope().name);
    if (!value || value->size() != 1 || (*value)[0] < '0' ||
        (*value)[0] > '9') {
        return 0;
    }
    return static_cast<unsigned>((*value)[0] - '0');
}

std::string Login::clear_login_count() const
{
    return clear_cookie(login_count_scope());
}

std::string Login::set_login_count(unsigned login_count) const
{
    return set_cookie(login_count_scope(),
        std::to_string(std::min(login_count, max_logins)), max_login_interval);
}

template <class Each>
void Login::each_login_cookie(Each each) const
{
    auto prefix = scope("").name;

    each_cookie(
        view_->cookies, [&](std::string_view name, std::string_view value) {
            if (!name.starts_with(prefix)) {
                return false;
            }
            name.remove_prefix(prefix.size());
            return is_login_cookie(name, value) && each(name, value);
        });
}

// The first login cookie of the browser: logins begun one after the other share
// it.
std::optional<Login::Browser> Login::known_browser() const
{
    std::optional<Browser> browser;
    each_login_cookie([&](std::string_view name, std::string_view value) {
        browser = Browser{std::string(name), std::string(value)};
        return true;
    });
    return browser;
}

// One for all logins, the last one's: two could exceed nginx's header buffer.
CookieScope Login::target_scope() const
{
    return scope("target");
}

std::string Login::target_seal_context(const Transaction& transaction) const
{
    return bind_fields(
        {provider_->state_seal_context(), "return target", transaction.id});
}

// Bytes of the cookies that the next request has in any case.
std::size_t Login::size_of_others(std::string_view name) const
{
    std::size_t size = 0;
    each_cookie(
        view_->cookies, [&](std::string_view its_name, std::string_view value) {
            if (!its_name.starts_with(name)) {
                size += its_name.size() + value.size() + sizeof("=;");
            }
            return false;
        });
    return size;
}

// Empty where a request or a head has no room for it.
std::vector<std::string> Login::seal_target(
    const Transaction& transaction, const Environment& env) const
{
    if (view_->target.size() > max_head) {
        return {};
    }
    auto sealed = base64url(provider_->state_ring().seal(
        view_->target, target_seal_context(transaction), env.random));
    auto cookie = target_scope();
    if (sealed.size() + size_of_others(cookie.name) > view_->cookie_room) {
        return {};
    }
    return set_chunks(
        cookie, sealed, view_->cookies, client().pre_auth_timeout);
}

std::optional<std::string> Login::open_target(
    const Transaction& transaction) const
{
    ChunkedCookie cookie(view_->cookies, target_scope().name);
    auto value = cookie.heads().empty() ? std::nullopt :
                                          cookie.join(cookie.heads().front());
    auto sealed = value ? base64url_decode(*value) : std::nullopt;
    if (!sealed) {
        return {};
    }
    auto opened =
        provider_->state_ring().open(*sealed, target_seal_context(transaction));
    return opened ? std::optional(std::move(opened->plain)) : std::nullopt;
}

std::string Login::whole_target(const Transaction& transaction) const
{
    auto whole =
        transaction.target_elsewhere ? open_target(transaction) : std::nullopt;
    return whole.value_or(transaction.target);
}

}
