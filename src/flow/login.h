// What gate and callback share: how a login begins, and how its callback
// recognises the browser.
#pragma once

#include "flow/origins.h"
#include "flow/step.h"
#include "oidc/authorize.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

// The error after too many logins in a row.
Error login_loop(unsigned login_count);

// What a browser sent of login cookies: the one of the transaction, only those
// of others, or none.
enum class Bound { ours, others, none };

struct LoginCookie {
    Bound bound;
    std::string value; // of our own
};

// Logins at one provider as one request sees them. Provider and view outlive
// it.
class Login {
public:
    // For a page. Error: request_host where the request has no usable host, or
    // one that shares no cookie with an absolute redirect_uri.
    static Result<Login> at(const Provider& provider, const RequestView& view);

    // For a callback: the origin is the transaction's, whatever host this
    // request has; the scheme is https if this request's is.
    static Result<Login> of(const Provider& provider, const RequestView& view,
        const Transaction& transaction);

    // False where the browser would not send the session cookie to the page:
    // its login would never end.
    Check check_page() const
    {
        return origins_.check_page(client(), view_->target);
    }

    const std::string& redirect_uri() const { return origins_.redirect_uri; }

    Site site() const { return origins_.site(); }

    // An authorization request, and the cookies for the time of the login.
    struct Request {
        std::string parameters; // a form
        std::vector<std::string> cookies;
        bool holds_target = true; // a cookie for the target had room
    };

    // A login that returns to this request's target. The receipt is of the
    // charge for it, if any.
    Request begin(const Metadata& metadata, const std::string& receipt,
        const Environment& env) const;

    // True for a login that began over http and returns over https.
    bool has_moved_to_https(const Transaction& transaction) const;

    // True for a browser with a login counter: it has begun a login here.
    bool knows_browser() const { return known_browser().has_value(); }

    // True for a browser that sends any cookie of a login.
    bool has_cookie() const { return knows_browser() || login_count() > 0; }

    // The login counter: how many logins in a row ended without a session that
    // came back, each within seconds of the one before.
    unsigned login_count() const;
    std::string set_login_count(unsigned login_count) const;
    std::string clear_login_count() const;
    static constexpr unsigned max_logins = 5;

    LoginCookie find_login_cookie(const Transaction& transaction) const;

    // The URL that a finished login returns to: always on our own origin.
    std::string return_location(const Transaction& transaction) const;

    // Deletes the cookies of a login that has ended.
    std::vector<std::string> clear(const Transaction& transaction) const;

private:
    struct Browser {
        std::string name; // suffix of the login cookie
        std::string value;
    };

    Login(const Provider& provider, const RequestView& view, Origins origins) :
        provider_(&provider), view_(&view), origins_(std::move(origins))
    {
    }

    Request begin_within_head(const Transaction& transaction,
        const Browser& browser, const Metadata& metadata,
        const Environment& env) const;
    Request begin_with(Transaction transaction, std::string_view target,
        bool elsewhere, const Browser& browser, const Metadata& metadata,
        const Environment& env) const;

    static Result<Login> at_origin(const Provider& provider,
        const RequestView& view, std::string_view origin);
    CookieScope scope(std::string_view suffix) const;
    std::optional<Browser> known_browser() const;

    template <class Each>
    void each_login_cookie(Each each) const;
    void clear_surplus(std::vector<std::string>& cookies) const;

    CookieScope login_count_scope() const;
    CookieScope target_scope() const;
    std::size_t size_of_others(std::string_view name) const;
    std::string target_seal_context(const Transaction& transaction) const;
    std::vector<std::string> seal_target(
        const Transaction& transaction, const Environment& env) const;
    std::optional<std::string> open_target(
        const Transaction& transaction) const;
    std::string whole_target(const Transaction& transaction) const;

    const Client& client() const { return provider_->client(); }

    const Provider* provider_;
    const RequestView* view_;
    Origins origins_;
};

}
