// Plays everything that surrounds a flow: the provider that answers it, the
// store that keeps sessions and what has been revoked, the memory of what is
// done once, and a browser with its cookies.
//
//     Play play;
//     play.gate("/page");
//     EXPECT_EQ(play.callback().location, "/page");
#pragma once

#include "flow/renewal.h"
#include "flow/restore.h"
#include "flow/step.h"
#include "oidc/cookies.h"
#include "oidc/refetch.h"
#include "support/complaint.h"
#include "support/signer.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc::test {

// Members of a JSON object: name and JSON text; an empty text leaves one out.
using Members = std::map<std::string, std::string>;

std::string object(const Members& members);

// `members` with `changes` put over them.
Members changed(Members members, const Members& changes);

constexpr Time noon = from_seconds(1'700'000'000);

// As a NumericDate of a token.
std::string date(Time time);

Client example_client();
Secret master_key(char byte);
HttpResponse json_answer(std::string body);
Members example_metadata();

// The same of a provider that ends sessions and revokes tokens.
Members metadata_with_logout();

// The claims of a good ID token, but for its nonce.
Members example_claims(Time now);

// The first of what the cookies hold; which of them counts is the store's to
// say.
Opened first_held(CookieLines lines, const Provider& provider, bool secure);

// The parameters of a URL's query or of a form, names to values.
std::map<std::string, std::string> parameters(std::string_view text);

// What a browser keeps of Set-Cookie values, by name; no attribute counts but
// Max-Age=0.
class Jar {
public:
    void take(const std::vector<std::string>& set_cookies);
    std::string header() const;

    std::map<std::string, std::string> cookies;
};

class Play {
public:
    explicit Play(Client client = example_client());

    // After a reload: nothing is known of the provider any more.
    void configure(Client client);

    // A view to a protected page, and the way back from the provider, by
    // default with a code and the state that was sent. Both run a flow to its
    // end and let the browser take its cookies.
    Finish gate(std::string target = "/page");
    Finish callback();
    Finish callback(const std::string& reply);

    // A page that wants the session, and new tokens where they are due.
    Finish renewal(Renewal::Refresh refresh = Renewal::Refresh::asked_for);

    // The three ways out. The session is the browser's, as current() has it.
    Finish logout(const std::string& form = "");
    Finish frontchannel_logout(const std::string& query);
    Finish backchannel_logout(const std::string& form);

    // What the browser's cookies hold, and the session behind them, unless it
    // has ended.
    Opened opened();
    std::optional<Session> current();

    std::string good_reply() const;

    // A view of the browser's next request; valid until the one after.
    RequestView view(std::string target, std::string_view reply = "");

    Provider provider;

    // The browser.
    Jar jar;
    std::optional<std::string> method; // of these requests, else the due one
    std::string origin = "https://app.example";
    std::string extra_args;
    std::size_t cookie_room = 8192;
    std::optional<Session> session; // in a callback
    std::string fetch_site;
    std::string fetch_mode;
    std::string fetch_dest;
    std::string purpose;
    std::string source;
    std::string address;
    bool shares_callback = false;

    // The provider's answers; where one is not set, a good one.
    Result<HttpResponse> metadata;
    Result<HttpResponse> keys;
    std::optional<Result<HttpResponse>> pushed;
    std::optional<Result<HttpResponse>> tokens;
    std::optional<Result<HttpResponse>> userinfo;
    std::optional<Result<HttpResponse>> refreshed; // tokens
    std::optional<Result<HttpResponse>> revoked;
    Members token_members;   // changes to the good token response
    Members refresh_members; // changes to that of a refresh
    Members claims;          // changes to the good claims
    const Signer* signer = &Signer::ed25519();
    std::string alg = "EdDSA";
    std::string header_members = R"("kid":"k1")";

    // The env. What was acquired before meets the result of that flow, unless
    // `acquired` says otherwise; each login is the first with its state.
    Time now = noon;
    Milliseconds ahead{}; // of `now`, the store's clock
    std::map<Purpose, Acquired> acquired;
    bool is_drained = false; // the client's bucket
    std::vector<Work> spent;
    std::vector<std::string> given_back; // the receipts

    // Sessions by their keys, revocations by theirs, and what
    // the steps "acquire", "load", "save", "drop", "clock" and "revoke" fail
    // with.
    struct Stored {
        std::string blob;
        Time until;
    };
    std::map<std::string, Stored> store;
    std::map<std::string, TimeMs> revocations;
    std::map<std::string, Error> broken;

    // What was asked, in order: "metadata", "keys", the last part of an
    // endpoint's URL, "acquire", "load", "save", "drop", "revoke", "pin"; and
    // the last request to each endpoint, and the last of these steps.
    std::vector<std::string> asked;
    std::map<std::string, HttpRequest> requests;
    std::map<std::string, std::string> sent; // with the last authorization
    Acquire acquire{};
    Load load{};
    std::optional<Save> save;
    Revoke revoke{};
    Pin pin{};
    std::optional<Error> failure; // of the store, before a logout

    // A flow of any kind, to its end.
    Finish run(Flow& flow);

private:
    // What all workers know of a part: when to ask, and why it failed.
    struct Known {
        Schedule schedule;
        Check learnt{Ok{}};
    };

    // The end of a flow.
    struct Ended {
        std::vector<std::string> lines;
        Time until;
    };

    Answer perform(const Fetch& step);
    Answer perform(const Learn& step);
    Answer perform(const Charge& step);
    Answer perform(const Acquire& step);
    Answer perform(const Load& step);
    Answer perform(const Save& step);
    Answer perform(const Drop& step);
    Answer perform(const ReadClock& step);
    Answer perform(const Revoke& step);
    Answer perform(const Pin& step);
    Answer perform(const Finish& step);
    void finish(const Finish& end);

    Result<HttpResponse> answer(const HttpRequest& request);
    Result<HttpResponse> answer_token() const;
    Result<HttpResponse> answer_refresh() const;
    std::string id_token(const Members& more) const;
    Check judge(const char* step);
    Loaded peek(const Load& step) const;
    TimeMs revoked_at(const std::vector<std::string>& keys) const;
    Check learn(const Learn& wanted);
    Check ask_for(Part part, Known& known);

    Known metadata_;
    Known keys_;
    std::map<std::string, Ended> ended_;
    std::optional<Acquire> ours_; // that the flow has acquired
    std::string target_;
    std::string cookies_;
};

// "word: sentence" of a failed flow, and what no failure may leave behind.
std::string complaint(const Finish& finish);

// The Set-Cookie value of that cookie, empty if there is none.
std::string cookie_of(
    const std::vector<std::string>& set_cookies, std::string_view name);

}
