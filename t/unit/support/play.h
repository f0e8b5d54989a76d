// Plays the environment of a flow: the provider, the store with its locks, and
// a browser with its cookies.
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
#include "support/memory_store.h"
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

// `members` overridden by `changes`.
Members changed(Members members, const Members& changes);

// A NumericDate, as used in tokens.
std::string date(Time time);

Client example_client();
Secret master_key(char byte);
HttpResponse json_answer(std::string body);
Members example_metadata();

// The same for a provider with logout and revocation endpoints.
Members metadata_with_logout();

// The claims of a good ID token, without its nonce.
Members example_claims(Time now);

// The first content of the session cookies. Which of them counts is decided by
// the store.
CookieContent first_held(
    CookieLines lines, const Provider& provider, bool secure);

// The parameters of a query or a form by name.
std::map<std::string, std::string> parameters(std::string_view text);

// The cookies that a browser keeps of Set-Cookie values, by name. Ignores all
// attributes but Max-Age=0.
class Jar {
public:
    void take(const std::vector<std::string>& set_cookies);
    std::string header() const;

    std::map<std::string, std::string> cookies;
};

class Play : public MemoryStore {
public:
    explicit Play(Client client = example_client());

    // As after a reload: nothing is known about the provider.
    void configure(Client client);

    // A request for a protected page, and the callback, by default with a code
    // and the state that was sent. Both run a flow to its end and let the
    // browser take its cookies.
    Finish gate(std::string target = "/page");
    Finish callback();
    Finish callback(const std::string& reply);

    // A page that needs the session, with new tokens where they are due.
    Finish renewal(Renewal::Refresh refresh = Renewal::Refresh::asked_for);

    // The three kinds of logout. The session is the browser's, see current().
    Finish logout(const std::string& form = "");
    Finish frontchannel_logout(const std::string& query);
    Finish backchannel_logout(const std::string& form);

    // The content of the browser's cookies, and their session, unless it has
    // ended.
    CookieContent opened();
    std::optional<Session> current();

    std::string good_reply() const;

    std::shared_ptr<const Metadata> known_metadata() const
    {
        return metadata_.document.get(now);
    }

    // The browser's next request; valid until the next call.
    RequestView view(std::string target, std::string_view reply = "");

    Provider provider;

    // The browser.
    Jar jar;
    std::optional<std::string> method; // overrides the default method
    std::string origin = "https://app.example";
    std::string extra_args;
    std::size_t cookie_room = 8192;
    std::optional<Session> session; // during a callback
    std::string fetch_site;
    std::string fetch_mode;
    std::string fetch_dest;
    std::string purpose;
    std::string source;
    std::string address;
    bool shares_callback = false;
    bool shares_frontchannel_logout = false;

    // The provider's responses; a good one where none is set.
    Result<HttpResponse> metadata;
    Result<HttpResponse> keys;
    std::optional<Result<HttpResponse>> pushed;
    std::optional<Result<HttpResponse>> tokens;
    std::optional<Result<HttpResponse>> userinfo;
    std::optional<Result<HttpResponse>> refreshed; // the refresh response
    std::optional<Result<HttpResponse>> revoked;
    Members token_members;   // changes to the good token response
    Members refresh_members; // changes to that of a refresh
    Members claims;          // changes to the good claims
    const Signer* signer = &Signer::ed25519();
    std::string alg = "EdDSA";
    std::string header_members = R"("kid":"k1")";

    // The replies to Acquire by purpose; the store's reply where none is set.
    std::map<Purpose, Acquired> acquired;
    bool is_drained = false; // the client's limit is reached
    std::vector<Work> spent;
    std::vector<std::string> given_back; // the receipts

    // `asked` has "metadata", "keys", the last part of an endpoint's URL,
    // "acquire", "load", "save", "drop", "revoke" and "pin". Below, the last
    // request to each endpoint and the last of each of these steps.
    std::map<std::string, HttpRequest> requests;
    std::map<std::string, std::string> sent; // last authorization request
    Acquire acquire{};
    Load load{};
    std::optional<Save> save;
    Revoke revoke{};
    Pin pin{};
    std::optional<Error> failure; // of the store, before a logout

    // Runs a flow of any kind to its end.
    Finish run(Flow& flow);

private:
    // A document as all workers share it: its schedule and last error.
    template <class T>
    struct Known {
        Document<T> document;
        Schedule schedule;
        std::optional<Error> error;
    };

    Answer perform(const Fetch& step);
    Answer perform(const NeedMetadata& step);
    Answer perform(const NeedKeys& step);
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
    template <class T, class Parse>
    void fetch(
        Known<T>& known, const Result<HttpResponse>& response, Parse parse);

    Known<Metadata> metadata_;
    Known<KeySet> keys_;
    std::string target_;
    std::string cookies_;
};

// "word: sentence" of a failed flow; reports a session, cookies or a location.
std::string complaint(const Finish& finish);

// The Set-Cookie value of a cookie; empty if there is none.
std::string cookie_of(
    const std::vector<std::string>& set_cookies, std::string_view name);

}
