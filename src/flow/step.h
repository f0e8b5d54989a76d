// What a flow may ask of the world and what it is told. A flow is a
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
struct World {
    std::int64_t now; // seconds since the epoch
    Random random;
};

// One request as a flow sees it.
struct Visit {
    std::string_view method;
    std::string_view target; // raw request target: path and query
    std::string_view reply;  // of the provider, in a callback: a form
    std::string origin;      // scheme://authority, as the browser sees it
    std::vector<std::string_view> cookies;
    std::string extra_args;      // of the authorization request, a form
    std::size_t cookie_room = 0; // bytes that our cookies may take
};

// Ask this and resume with Result<HttpResponse>.
struct Fetch {
    HttpRequest request;
};

// See to it that the provider's part is known, by one question for all who
// need it meanwhile; resume with Check. With `anew`, that it is newer than it
// was: an error where it cannot be had, or was asked for too often.
struct Learn {
    Part part;
    bool anew = false;
};

// Take the id of a state, so that it serves one callback only; resume with
// Claimed.
struct Claim {
    std::string id;
    std::int64_t until; // when the state expires by itself
};

// Whose an id is: this callback's, or another one's, which has come to an end
// and may have left its session's cookies for copies of itself, or which
// vanished without one.
struct Claimed {
    enum Whose { ours, ended, vanished } whose;
    std::vector<std::string> cookies;
};

// The end: an error, or where the browser goes.
struct Finish {
    std::optional<Error> error;
    std::string location;
    std::vector<std::string> cookies; // Set-Cookie values
    std::optional<Session> session;
    bool by_page = false; // go there from a page, not by a redirect
    std::string claimed;  // the id under which to leave the cookies
};

using Step = std::variant<Fetch, Learn, Claim, Finish>;
using Answer = std::variant<Result<HttpResponse>, Check, Claimed>;

class Flow {
public:
    virtual ~Flow() = default;
    virtual Step start(const World& world) = 0;
    virtual Step resume(const World& world, Answer answer) = 0;

    // What it is doing, after "while" in a log sentence.
    virtual std::string_view doing() const = 0;
};

// Remembers where a flow goes on: ask() with the member function that takes
// that step's answer, as nginx keeps a `process` pointer.
template <class Self>
class Conversation : public Flow {
public:
    Step resume(const World& world, Answer answer) override
    {
        auto self = static_cast<Self*>(this);
        switch (answer.index()) {
        case 0:
            return (self->*std::get<0>(next_))(
                world, std::get<0>(std::move(answer)));
        case 1:
            return (self->*std::get<1>(next_))(
                world, std::get<1>(std::move(answer)));
        default:
            return (self->*std::get<2>(next_))(
                world, std::get<2>(std::move(answer)));
        }
    }

protected:
    template <class A>
    using Next = Step (Self::*)(const World&, A);

    Step ask(Fetch step, Next<Result<HttpResponse>> next)
    {
        next_ = next;
        return step;
    }

    Step ask(Learn step, Next<Check> next)
    {
        next_ = next;
        return step;
    }

    Step ask(Claim step, Next<Claimed> next)
    {
        next_ = next;
        return step;
    }

    static Step refuse(Error error)
    {
        Finish finish;
        finish.error = std::move(error);
        return finish;
    }

    // For a part that is not known: what was learnt says why, unless time has
    // run over it meanwhile.
    static Step refuse_unknown(Check learnt)
    {
        return refuse(learnt ? Error{Errc::upstream_timeout,
                                   "provider did not answer in time"} :
                               std::move(learnt).error());
    }

private:
    std::variant<Next<Result<HttpResponse>>, Next<Check>, Next<Claimed>> next_;
};

}
