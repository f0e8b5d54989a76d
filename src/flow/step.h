// What a flow may ask of its environment, and the answers. A flow is a
// conversation that decides and never does: start() and resume() return the
// next Step; a driver performs it and resumes the flow with the answer.
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "oidc/document.h"
#include "oidc/errors.h"
#include "oidc/id_token.h"
#include "oidc/provider.h"
#include "oidc/refetch.h"
#include "oidc/session_seal.h"

#include <cstdint>
#include <memory>
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
    std::string_view reply;  // a form: the query or the body
    std::string origin;      // of the page, or its base URL with a path
    std::vector<std::string_view> cookies;
    std::string_view fetch_site; // the Sec-Fetch-Site of W3C Fetch Metadata
    std::string_view fetch_mode;
    std::string_view fetch_dest;
    std::string_view purpose;     // Sec-Purpose: prefetch and the like
    std::string_view source;      // Origin, else Referer
    std::string address;          // of the client; of IPv6 the first 8 bytes
    std::string extra_args;       // of the authorization request, a form
    bool shares_callback = false; // with another issuer, in the same server
    bool shares_frontchannel_logout = false; // with another provider there
    std::size_t cookie_room = 0;             // bytes left for our cookies
};

// Each step that has an answer names its type as Reply.

// Send this request. An optional one fails at once where the client has gone,
// and the flow continues.
struct Fetch {
    using Reply = Result<HttpResponse>;

    HttpRequest request;
    bool is_optional = false;
};

// The provider's metadata, in one request for all flows that need them at the
// same time.
struct NeedMetadata {
    using Reply = Result<std::shared_ptr<const Metadata>>;
};

// The same of the provider's keys. Where keys that are known cannot verify a
// token, newer ones than these: an error where the provider has none, or where
// requests of this kind have fetched them too often.
struct NeedKeys {
    using Reply = Result<std::shared_ptr<const KeySet>>;

    std::shared_ptr<const KeySet> newer_than = {};
    Asker asker = Asker::known;
};

// Work that any client can cause, past all limits of requests for pages: the
// tokens of a code, a pushed request, the verification of a logout token.
enum class Work { login, push, logout };

// Charge the client for it. Errors: login_limit, logout_limit. The answer is a
// receipt that a refund needs; empty where there is no limit.
struct Charge {
    using Reply = Result<std::string>;

    Work work;
};

// What may run once only, in all workers: a state serves one callback, a
// refresh token one renewal, a logout token one logout.
enum class Purpose { login, renewal, logout };

// Whose the lock is: this flow's; another one's that has ended, with its result
// for copies of it, of a callback the session's cookies, of a renewal the
// session; or another one's that vanished without an end.
struct Acquired {
    enum Whose { ours, ended, vanished } whose;
    std::vector<std::string> result; // lines
};

// Acquire the lock of this id.
struct Acquire {
    using Reply = Result<Acquired>;

    std::string id;
    Time until; // when the lock expires
    Purpose purpose = Purpose::login;
};

struct Loaded {
    std::optional<std::string> blob;
    TimeMs revoked_at{}; // TimeMs(): never
};

// Save, of oidc/session, saves something in the store. Load gets what the store
// has under a key, which restarts its time to live where sessions have an idle
// timeout; and when the latest of these revocation keys was revoked.
struct Load {
    using Reply = Result<Loaded>;

    std::string key;
    std::vector<std::string> revocation_keys;
};

struct Drop {
    using Reply = Check;

    std::string key;
};

// Read the clock that the store stamps revocation records with.
struct ReadClock {
    using Reply = Result<TimeMs>;
};

// Revoke all sessions with one of these keys that began until now, or until
// `least` if that is later: a clock may have been set back.
struct Revoke {
    using Reply = Check;

    std::vector<std::string> keys;
    std::string subject;      // subject_key() of the user, where known
    Time until;               // no such session lasts longer
    bool is_proven = true;    // false: any client can cause it
    TimeMs least{};           // start of a session that must be included
    std::string address = {}; // whose share an unproven one takes
};

// A session was refused because one of these keys, its own the first, was
// revoked: keep the record, whatever caused it. Where copies of the session do
// not know all keys, also revoke its own key until those copies have expired.
struct Pin {
    using Reply = Check;

    std::vector<std::string> keys;
    std::string subject;
    TimeMs started{};    // when it began
    Time copies_until{}; // Time(): there are no such copies
};

// The page that a Finish shows instead of a redirect to its location.
enum class Page {
    none,
    logged_in, // the page goes to the location
    logged_out,
    logged_out_here, // copies elsewhere may still be valid
    logging_out,     // and goes there from this page, not by a redirect
    confirm_logout,
    done, // for the provider alone
};

// The end: an error, a redirect, or a page. An error may have cookies and a
// page, too.
struct Finish {
    std::optional<Error> error;
    std::string location;
    std::vector<std::string> cookies; // Set-Cookie values
    std::optional<Session> session;
    Page page = Page::none;
    std::string confirmation;     // that the confirmation page posts
    std::optional<Error> warning; // a failure that did not stop the flow
    std::string notice;           // what was tolerated, for the log

    // For copies of the flow that try to acquire its lock, and for how many
    // seconds; a renewal is not tried again before that.
    std::vector<std::string> result;
    Seconds keep_result = 30s;

    // Failure backoff: for how many seconds no other session of this provider
    // is renewed.
    Seconds failure_backoff{};

    // The receipt of the charge to refund; empty: none.
    std::string refund;
};

using Step = std::variant<Fetch, NeedMetadata, NeedKeys, Charge, Acquire, Load,
    Save, Drop, ReadClock, Revoke, Pin, Finish>;
using Answer = std::variant<Fetch::Reply, NeedMetadata::Reply, NeedKeys::Reply,
    Check, Acquire::Reply, Load::Reply, ReadClock::Reply, Charge::Reply>;

class Flow {
public:
    virtual ~Flow() = default;
    virtual Step start(const Environment& env) = 0;
    virtual Step resume(const Environment& env, Answer answer) = 0;

    // Its action, after "while" in a log sentence.
    virtual std::string_view action() const = 0;
};

// Remembers where a flow resumes: ask() takes the member function that gets
// the step's answer, as nginx keeps a `process` pointer.
template <class Self>
class Conversation : public Flow {
public:
    Step resume(const Environment& env, Answer answer) override
    {
        return std::visit(
            [&]<class A>(A&& reply) {
                auto next = std::get<Next<std::decay_t<A>>>(next_);
                return (self().*next)(env, std::forward<A>(reply));
            },
            std::move(answer));
    }

protected:
    template <class Reply>
    using Next = Step (Self::*)(const Environment&, Reply);

    using MetadataReply = NeedMetadata::Reply;
    using KeysReply = NeedKeys::Reply;

    template <class Asked>
    Step ask(Asked step, Next<typename Asked::Reply> next)
    {
        next_ = next;
        return step;
    }

    // The provider may have replaced its keys: true where newer ones may verify
    // what failed with this error. Once in a flow.
    bool may_retry(const Error& error) const
    {
        return !again_ && wants_newer_keys(error);
    }

    // Resumes `again` with newer keys than these, or with `error` where there
    // are none.
    Step retry(NeedKeys newer, Error error, Next<KeysReply> again)
    {
        retried_error_ = std::move(error);
        again_ = again;
        return ask(std::move(newer), &Conversation::retried);
    }

    static Finish failed(Error error)
    {
        Finish finish;
        finish.error = std::move(error);
        return finish;
    }

    static Step refuse(Error error) { return failed(std::move(error)); }

private:
    Self& self() { return *static_cast<Self*>(this); }

    Step retried(const Environment& env, KeysReply keys)
    {
        return (self().*again_)(
            env, keys ? std::move(keys) : KeysReply(std::move(retried_error_)));
    }

    std::variant<Next<Fetch::Reply>, Next<MetadataReply>, Next<KeysReply>,
        Next<Check>, Next<Acquire::Reply>, Next<Load::Reply>,
        Next<ReadClock::Reply>, Next<Charge::Reply>>
        next_;

    Next<KeysReply> again_ = nullptr;
    Error retried_error_{};
};

}
