// What a flow may ask of its environment and what it is told. A flow is a
// conversation that decides and never does: start() and resume() return the
// next Step, and whoever drives it performs that and resumes with the answer.
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "oidc/provider.h"
#include "oidc/session.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace oidc {

// Time and randomness are arguments.
struct Environment {
    Time now;
    Random random;
};

// One request as a flow sees it.
struct RequestView {
    std::string_view method;
    std::string_view target; // raw request target: path and query
    std::string_view reply;  // a form: of the provider, in a callback
    std::string origin;      // scheme://authority, as the browser sees it
    std::vector<std::string_view> cookies;
    std::string_view fetch_site; // the Sec-Fetch-Site of W3C Fetch Metadata
    std::string_view fetch_mode;
    std::string_view fetch_dest;
    std::string_view purpose; // what the browser says it may ask in advance for
    std::string_view source;  // Origin, else Referer: the page that leads here
    std::string address;      // of the client, an IPv6 one's first 8 bytes
    std::string extra_args;   // of the authorization request, a form
    bool shares_callback = false; // with another issuer, in the same server
    std::size_t cookie_room = 0;  // bytes that our cookies may take
};

// Each step that wants an answer names its type, with which to resume.

// Ask this. What can be done without fails at once where the client has gone,
// and the flow goes on.
struct Fetch {
    using Reply = Result<HttpResponse>;

    HttpRequest request;
    bool is_optional = false;
};

// See to it that the provider's part is known, by one question for all who
// need it meanwhile. With `anew`, that it is newer than it was: an error where
// it cannot be had, or was asked for too often by askers of that kind.
struct Learn {
    using Reply = Check;

    Part part;
    bool anew = false;
    Asker asker = Asker::known;
};

// Work that anybody can cause, past all that limits requests to pages: tokens
// of a code; a pushed request; the decryption and proof of a logout token.
enum class Work { login, push, logout };

// Take a token of this client's bucket for it: login_limit or logout_limit
// where none is left. The answer is a receipt, against which the token is given
// back; empty where there is no limit.
struct Charge {
    using Reply = Result<std::string>;

    Work work;
};

// What is done once, however many requests in however many workers are about
// to do it: a state serves one callback, a refresh token one renewal, a logout
// token one logout.
enum class Purpose { login, renewal, logout };

// Whose such a thing is: this flow's, or another one's, which has come to an
// end and may have left a result for copies of itself, a callback its session's
// cookies, a renewal its session; or which vanished without an end.
struct Acquired {
    enum Whose { ours, ended, vanished } whose;
    std::vector<std::string> result; // lines
};

// Acquire its id, for this flow alone.
struct Acquire {
    using Reply = Result<Acquired>;

    std::string id;
    Time until; // when the thing expires by itself
    Purpose purpose = Purpose::login;
};

struct Loaded {
    std::optional<std::string> blob;
    TimeMs revoked_at{}; // TimeMs(): never
};

// Keep something in the client's store: Save, of oidc/session. Then:
//
// Get what the store keeps under a key, whose time to live then
// begins anew where sessions end by idleness; and when the latest of these
// revocation keys was revoked.
struct Load {
    using Reply = Result<Loaded>;

    std::string key;
    std::vector<std::string> revocation_keys;
};

struct Drop {
    using Reply = Check;

    std::string key;
};

// The time now by the clock that the store stamps revocations by.
struct ReadClock {
    using Reply = Result<TimeMs>;
};

// End, before their time, all sessions with one of these keys that have begun
// until now, or until then if that is later: a clock may have been set back.
struct Revoke {
    using Reply = Check;

    std::vector<std::string> keys;
    std::string subject;   // the subject_key() of their user, where it is known
    Time until;            // no such session lives longer
    bool is_proven = true; // else anybody could have asked for it
    TimeMs least{};        // when the session began that is meant for sure
    std::string address = {}; // whose share it takes that is not proven
};

// A session was refused since one of these keys, its own the first, was
// revoked: that is kept, whoever asked for it. Where copies of it do not know
// all of the keys, it is also revoked by its own, until they have ended.
struct Pin {
    using Reply = Check;

    std::vector<std::string> keys;
    std::string subject;
    TimeMs started{};    // when it began
    Time copies_until{}; // Time(): there are none of that kind
};

// What a Finish shows instead of going to its location.
enum class Page {
    none,
    logged_in, // and goes there from this page, not by a redirect
    logged_out,
    logged_out_here, // copies elsewhere may live on
    logging_out,     // and goes there from this page, not by a redirect
    confirm_logout,
    done, // for the provider's own eyes
};

// The end: an error, where the browser goes, or what it sees. Cookies and a
// page may go with an error, too.
struct Finish {
    std::optional<Error> error;
    std::string location;
    std::vector<std::string> cookies; // Set-Cookie values
    std::optional<Session> session;
    Page page = Page::none;
    std::string confirmation;     // what the page to confirm a logout posts
    std::optional<Error> warning; // went wrong, but is not in the way

    // For copies of the flow that come to acquire what it had, and for how
    // long; a renewal is not tried again before.
    std::vector<std::string> result;
    Seconds keep_result = 30s;

    // For how long no other session of this provider is renewed.
    Seconds back_off{};

    // The receipt of a token that goes back to its bucket; empty: none does.
    std::string refund;
};

using Step = std::variant<Fetch, Learn, Charge, Acquire, Load, Save, Drop,
    ReadClock, Revoke, Pin, Finish>;
using Answer = std::variant<Result<HttpResponse>, Check, Result<Acquired>,
    Result<Loaded>, Result<TimeMs>, Result<std::string>>;

class Flow {
public:
    virtual ~Flow() = default;
    virtual Step start(const Environment& env) = 0;
    virtual Step resume(const Environment& env, Answer answer) = 0;

    // What it is doing, after "while" in a log sentence.
    virtual std::string_view action() const = 0;
};

// Remembers where a flow goes on: ask() with the member function that takes
// that step's answer, as nginx keeps a `process` pointer.
template <class Self>
class Conversation : public Flow {
public:
    Step resume(const Environment& env, Answer answer) override
    {
        auto self = static_cast<Self*>(this);
        switch (answer.index()) {
        case 0:
            return (self->*std::get<0>(next_))(
                env, std::get<0>(std::move(answer)));
        case 1:
            return (self->*std::get<1>(next_))(
                env, std::get<1>(std::move(answer)));
        case 2:
            return (self->*std::get<2>(next_))(
                env, std::get<2>(std::move(answer)));
        case 3:
            return (self->*std::get<3>(next_))(
                env, std::get<3>(std::move(answer)));
        case 4:
            return (self->*std::get<4>(next_))(
                env, std::get<4>(std::move(answer)));
        default:
            return (self->*std::get<5>(next_))(
                env, std::get<5>(std::move(answer)));
        }
    }

protected:
    template <class A>
    using Next = Step (Self::*)(const Environment&, A);

    // With the member function that takes this kind of step's answer.
    template <class Asked>
    Step ask(Asked step, Next<typename Asked::Reply> next)
    {
        next_ = next;
        return step;
    }

    static Finish failed(Error error)
    {
        Finish finish;
        finish.error = std::move(error);
        return finish;
    }

    static Step refuse(Error error) { return failed(std::move(error)); }

    // For a part that is not known: what was learnt says why, unless time has
    // run over it meanwhile.
    static Error unknown(Check learnt)
    {
        return learnt ?
            Error{Errc::upstream_timeout, "provider did not respond in time"} :
            std::move(learnt).error();
    }

    static Step refuse_unknown(Check learnt)
    {
        return refuse(unknown(std::move(learnt)));
    }

private:
    std::variant<Next<Result<HttpResponse>>, Next<Check>,
        Next<Result<Acquired>>, Next<Result<Loaded>>, Next<Result<TimeMs>>,
        Next<Result<std::string>>>
        next_;
};

}
