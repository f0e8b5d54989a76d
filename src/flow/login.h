// How a login begins and how its callback finds the browser it belongs to:
// what gate and callback share.
#pragma once

#include "flow/origins.h"
#include "flow/step.h"
#include "oidc/authorize.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

// After too many rounds.
Error login_loop(unsigned rounds);

// A browser's binding as it stands to a transaction: the browser sent the one
// that the transaction began with, only others, or none at all.
enum class Bound { ours, others, none };

struct LoginCookie {
    Bound bound;
    std::string value; // of the one that is ours
};

// Logins with one provider as one request sees them. Provider and view
// outlive it.
class Login {
public:
    // For a page: request_host where the request's host is none, or one that
    // shares no cookie with an absolute redirect_uri.
    static Result<Login> at(const Provider& provider, const RequestView& view);

    // For a callback: as it was when the transaction began, whatever this
    // request says of its host; but on https if this request is.
    static Result<Login> of(const Provider& provider, const RequestView& view,
        const Transaction& transaction);

    const std::string& redirect_uri() const { return origins_.redirect_uri; }

    // The browser is on https.
    bool secure() const { return origins_.secure; }

    // An authorization request, and what the browser is to keep meanwhile.
    struct Request {
        std::string parameters; // a form
        std::vector<std::string> cookies;
    };

    // A login that returns to this request's target; the receipt is of a token
    // that was taken for it.
    Request begin(const Metadata& metadata, const std::string& receipt,
        const Environment& env) const;

    // Begun over http, and back over https.
    bool has_moved_to_https(const Transaction& transaction) const;

    // True for a browser that has begun a login here.
    bool knows_browser() const { return known_browser().has_value(); }

    // True for one that sends any cookie of a login.
    bool has_cookie() const { return knows_browser() || rounds() > 0; }

    // How often this browser went round lately: a cookie counts the logins
    // that ended without a session that comes back, as long as each follows
    // the one before within seconds.
    unsigned rounds() const;
    std::string set_rounds(unsigned rounds) const;
    std::string clear_rounds() const;
    static constexpr unsigned max_rounds = 5;

    LoginCookie find_login_cookie(const Transaction& transaction) const;

    // Where a finished login goes: on our own origin, whatever the target.
    std::string return_location(const Transaction& transaction) const;

    // Deletes what a login that has ended leaves behind.
    std::vector<std::string> clear(const Transaction& transaction) const;

private:
    struct Browser {
        std::string name; // suffix of the binding cookie
        std::string value;
    };

    Login(const Provider& provider, const RequestView& view, Origins origins) :
        provider_(&provider), view_(&view), origins_(std::move(origins))
    {
    }

    static Result<Login> at_origin(const Provider& provider,
        const RequestView& view, std::string_view origin);
    CookieScope scope(std::string_view suffix) const;
    std::optional<Browser> known_browser() const;

    template <class Each>
    void each_login_cookie(Each each) const;
    void clear_surplus(std::vector<std::string>& cookies) const;

    CookieScope rounds_scope() const;
    CookieScope target_scope() const;
    std::size_t size_of_others(std::string_view name) const;
    std::string target_seal_context(const Transaction& transaction) const;
    std::vector<std::string> seal_target(
        Transaction& transaction, const Environment& env) const;
    std::optional<std::string> open_target(
        const Transaction& transaction) const;
    std::string whole_target(const Transaction& transaction) const;

    const Client& client() const { return provider_->client(); }

    const Provider* provider_;
    const RequestView* view_;
    Origins origins_;
};

}
