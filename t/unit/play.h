// Plays everything that surrounds a flow: the provider that answers it, the
// world that remembers states, and a browser with its cookies.
//
//     Play play;
//     play.gate("/page");
//     EXPECT_EQ(play.callback().location, "/page");
#pragma once

#include "complaint.h"
#include "flow/step.h"
#include "oidc/schedule.h"
#include "signer.h"

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

constexpr std::int64_t noon = 1'700'000'000;

Client example_client();
Secret master_key(char byte);
HttpResponse json_answer(std::string body);
Members example_metadata();

// The claims of a good ID token, but for its nonce.
Members example_claims(std::int64_t now);

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

    // A visit to a protected page, and the way back from the provider, by
    // default with a code and the state that was sent. Both run a flow to its
    // end and let the browser take its cookies.
    Finish gate(std::string target = "/page");
    Finish callback();
    Finish callback(const std::string& reply);

    std::string good_reply() const;

    // A view of the browser's next request; valid until the one after.
    Visit visit(std::string target, std::string_view reply = "");

    Provider provider;

    // The browser.
    Jar jar;
    std::optional<std::string> method; // of a callback, else the due one
    std::string origin = "https://app.example";
    std::string extra_args;
    std::size_t cookie_room = 8192;
    std::optional<Session> session;

    // The provider's answers; where one is not set, a good one.
    Result<HttpResponse> metadata;
    Result<HttpResponse> keys;
    std::optional<Result<HttpResponse>> pushed;
    std::optional<Result<HttpResponse>> tokens;
    std::optional<Result<HttpResponse>> userinfo;
    Members token_members; // changes to the good token response
    Members claims;        // changes to the good claims
    const Signer* signer = &Signer::ed25519();
    std::string alg = "EdDSA";
    std::string header_members = R"("kid":"k1")";

    // The world.
    std::int64_t now = noon;
    Claimed claimed{Claimed::ours, {}};

    // What was asked, in order: "metadata", "keys", "par", "claim", "token",
    // "userinfo"; and the last request to each endpoint.
    std::vector<std::string> asked;
    std::map<std::string, HttpRequest> requests;
    std::map<std::string, std::string> sent; // with the last authorization
    Claim claim{};

private:
    // What all workers know of a part: when to ask, and why it failed.
    struct Known {
        Schedule schedule;
        Check learnt{Ok{}};
    };

    Finish run(Flow& flow);
    Result<HttpResponse> answer(const HttpRequest& request);
    Result<HttpResponse> answer_token() const;
    Check learn(const Learn& wanted);
    Check ask_for(Part part, Known& known);

    Known metadata_;
    Known keys_;
    std::string target_;
    std::string cookies_;
};

// "word: sentence" of a failed flow, and what no failure may leave behind.
std::string complaint(const Finish& finish);

// The Set-Cookie value of that cookie, empty if there is none.
std::string cookie_of(
    const std::vector<std::string>& set_cookies, std::string_view name);

}
