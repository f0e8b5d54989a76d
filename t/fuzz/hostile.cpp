#include "../unit/play.h"
#include "browser.h"
#include "core/url.h"
#include "flow/callback.h"
#include "flow/gate.h"
#include "fuzz.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace oidc::test {
namespace {

// Plays a script, a command a line. Its provider has everything but the key
// that the real one signs with, and one good token where the script asks for
// it; its browser may have cookies that anybody planted.
class Hostile {
public:
    Hostile();

    void play(std::string_view script);

private:
    void obey(char command, const std::string& argument);
    void configure(std::string_view options);
    std::string filled(std::string text);
    std::string sent(const char* parameter) const;
    std::string token(const Members& wrong) const;

    Finish visit(bool is_callback, const std::string& argument);
    Finish run(Flow& flow);
    Check learn(const Learn& wanted);
    const HttpResponse& answer_to(const HttpRequest& request);
    void remember(std::string_view authorization_request);
    void know(const std::optional<Session>& session) const;

    void check(const Finish& finish);
    void check_location(const std::string& location);
    void recover();

    Provider provider_;
    std::int64_t now_ = noon;

    // The provider's answers, whether a state was used, and the browser.
    HttpResponse metadata_;
    HttpResponse keys_;
    std::optional<HttpResponse> newer_keys_;
    HttpResponse tokens_;
    HttpResponse userinfo_;
    HttpResponse pushed_;
    Claimed claimed_{Claimed::ours, {}};
    std::vector<std::string> left_; // cookies of the last callback that ended
    Jar jar_;
    std::string origin_ = "https://app.example";
    std::string method_;              // where it is not the due one
    std::string last_page_ = "/page"; // which the login at the end is for

    std::map<std::string, std::string> sent_; // with the last authorization
    std::string old_state_;                   // of the one before
    std::set<std::string> hosts_;             // that a location may lead to
    bool signed_ = false; // by the real provider, a good token
};

// STATUS TYPE BODY
HttpResponse answer(std::string_view text)
{
    HttpResponse response;
    std::from_chars(text.data(), text.data() + text.size(), response.status);
    auto type = std::min(text.find(' '), text.size());
    auto body = std::min(text.find(' ', type + 1), text.size());
    response.content_type = text.substr(type, body - type);
    response.body = text.substr(body);
    return response;
}

HttpResponse good_metadata()
{
    return json_answer(object(example_metadata()));
}

HttpResponse good_userinfo()
{
    return json_answer(R"({"sub":"user-1","email":"joe@example.com"})");
}

HttpResponse good_push()
{
    return json_answer(R"({"request_uri":"urn:example:1","expires_in":60})");
}

HttpResponse good_keys()
{
    return json_answer(key_set({Signer::ed25519().jwk(R"("kid":"k1")")}));
}

Hostile::Hostile() :
    metadata_(good_metadata()), keys_(good_keys()), tokens_(answer("500")),
    userinfo_(good_userinfo()), pushed_(good_push())
{
    configure("");
}

// Options by the letter that they begin with.
void Hostile::configure(std::string_view options)
{
    auto has = [&](char option) {
        return options.find(option) != options.npos;
    };
    auto client = example_client();
    client.response_mode =
        has('f') ? ResponseMode::form_post : ResponseMode::query;
    client.pushed_authorization =
        has('p') ? PushedAuthorization::on : PushedAuthorization::automatic;
    client.userinfo = has('u');
    client.cookie_same_site = has('s') ? "Strict" : "Lax";
    Secret masters[] = {master_key(1)};
    provider_.configure(std::move(client), masters);
}

void Hostile::play(std::string_view script)
{
    constexpr int most = 40;
    for (int i = 0; i < most && !script.empty(); i++) {
        auto line = take_line(script);
        if (!line.empty()) {
            auto argument = line.substr(std::min<std::size_t>(2, line.size()));
            obey(line.front(), filled(std::string(argument)));
        }
    }
    recover();
}

void Hostile::obey(char command, const std::string& argument)
{
    switch (command) {
    case 'm':
        metadata_ = answer(argument);
        break;
    case 'k':
        keys_ = answer(argument);
        break;
    case 'n': // where newer ones are asked for
        newer_keys_ = answer(argument);
        break;
    case 't':
        tokens_ = answer(argument);
        break;
    case 'i':
        userinfo_ = answer(argument);
        break;
    case 'u':
        pushed_ = answer(argument);
        break;
    case 's':
        configure(argument);
        break;
    case 'e':
        claimed_.whose = argument == "ours" ? Claimed::ours :
            argument == "ended"             ? Claimed::ended :
                                              Claimed::vanished;
        claimed_.cookies =
            argument == "ended" ? left_ : std::vector<std::string>();
        break;
    case 'b': // somebody planted a cookie
        jar_.take({argument});
        break;
    case 'f': // the browser forgets
        jar_.cookies.clear();
        break;
    case 'o':
        origin_ = argument;
        break;
    case 'p':
        method_ = argument;
        break;
    case 'r':
        last_page_ = argument;
        break;
    case 'w': { // so many seconds later
        std::int64_t seconds = 0;
        std::from_chars(
            argument.data(), argument.data() + argument.size(), seconds);
        now_ += seconds & 0xfffff;
        break;
    }
    case 'g': // a protected page
        check(visit(false, argument));
        break;
    case 'c': // the callback, with this query or body
        check(visit(true, argument));
        break;
    }
}

// What the provider knows of this very login, and tokens that bear the real
// one's signature and are wrong in one thing each, or lack it alone.
std::string Hostile::filled(std::string text)
{
    auto fill = [&](std::string_view name, auto value) {
        if (auto at = text.find(name); at != text.npos) {
            text.replace(at, name.size(), value());
        }
    };
    fill("$state", [&] { return sent("state"); });
    fill("$old", [&] { return old_state_; });
    fill("$nonce", [&] { return sent("nonce"); });
    fill("$other-nonce", [&] { return token({{"nonce", R"("other")"}}); });
    fill("$other-aud", [&] { return token({{"aud", R"("other")"}}); });
    fill("$other-iss", [&] { return token({{"iss", R"("https://a")"}}); });
    fill("$expired", [&] { return token({{"exp", "1"}}); });
    fill("$good", [&] {
        signed_ = true;
        return token({});
    });
    fill("$no-sub", [&] { return token({{"sub", ""}}); });
    fill("$forged", [&] {
        auto good = token({});
        return good.substr(0, good.rfind('.') + 1) +
            base64url(std::string(64, 'Z'));
    });
    return text;
}

std::string Hostile::sent(const char* parameter) const
{
    auto found = sent_.find(parameter);
    return found == sent_.end() ? "" : found->second;
}

std::string Hostile::token(const Members& wrong) const
{
    auto claims =
        changed(example_claims(now_), {{"nonce", "\"" + sent("nonce") + "\""}});
    return Signer::ed25519().sign(
        "EdDSA", object(changed(claims, wrong)), R"("kid":"k1")");
}

Finish Hostile::visit(bool is_callback, const std::string& argument)
{
    if (auto origin = parse_url(origin_)) {
        hosts_.insert(origin->host);
    }
    auto header = jar_.header();
    auto posted = is_callback &&
        provider_.client().response_mode == ResponseMode::form_post;
    auto target = posted ? "/oidc_callback" :
        is_callback      ? "/oidc_callback?" + argument :
                           argument;
    std::string_view due = posted ? "POST" : "GET";
    Visit visit;
    visit.method = method_.empty() ? due : std::string_view(method_);
    visit.target = target;
    visit.reply = is_callback ? std::string_view(argument) : "";
    visit.origin = origin_;
    visit.cookies = {header};
    visit.cookie_room = 8192;

    auto session = Session::open(visit.cookies, provider_, now_);
    know(session);
    Gate gate(provider_, visit);
    Callback callback(provider_, visit, session);
    auto before = sent_;
    auto finish = is_callback ? run(callback) : run(gate);
    jar_.take(finish.cookies);
    if (!finish.claimed.empty()) {
        left_ = finish.cookies;
    }
    auto metadata = provider_.metadata(now_);
    auto mark = finish.location.find('?');
    if (metadata && mark != std::string::npos && sent_ == before &&
        finish.location.starts_with(metadata->authorization_endpoint)) {
        remember(finish.location.substr(mark + 1));
    }
    return finish;
}

Finish Hostile::run(Flow& flow)
{
    World world{now_, random_bytes};
    auto step = flow.start(world);

    for (int steps = 0; steps < 10; steps++) {
        if (auto finish = std::get_if<Finish>(&step)) {
            return std::move(*finish);
        }
        if (auto part = std::get_if<Learn>(&step)) {
            step = flow.resume(world, learn(*part));
        } else if (std::holds_alternative<Claim>(step)) {
            step = flow.resume(world, claimed_);
        } else {
            const auto& request = std::get<Fetch>(step).request;
            step = flow.resume(world, Result<HttpResponse>(answer_to(request)));
        }
    }
    demand(false, "a flow ends");
    return {};
}

Check Hostile::learn(const Learn& wanted)
{
    if (!wanted.anew && provider_.knows(wanted.part, now_)) {
        return Ok{};
    }
    const auto& keys = wanted.anew && newer_keys_ ? *newer_keys_ : keys_;
    auto document =
        Provider::judge(wanted.part == Part::keys ? keys : metadata_, now_);
    if (!document) {
        return std::move(document).error();
    }
    return provider_.adopt(wanted.part, document->body, document->fresh_until);
}

// Whatever the endpoints are called: only a question about the user has no
// body, and only a pushed request says what is to be answered.
const HttpResponse& Hostile::answer_to(const HttpRequest& request)
{
    demand(request.url.starts_with("https://"), "asked under TLS");
    demand(is_clean(request.url) && is_clean(request.authorization),
        "a request of one head");
    if (request.body.empty()) {
        return userinfo_;
    }
    if (request.body.find("response_type=") == std::string::npos) {
        return tokens_;
    }
    remember(request.body);
    return pushed_;
}

// The parameters of an authorization request; ours come after the endpoint's.
void Hostile::remember(std::string_view authorization_request)
{
    auto form = parse_form(authorization_request);
    if (!form) {
        return;
    }
    old_state_ = sent("state");
    for (const auto& [name, value] : *form) {
        sent_[name] = value;
    }
}

void Hostile::know(const std::optional<Session>& session) const
{
    demand(!session || signed_, "nobody gets in without a good token");
    demand(!session || session->claim("sub") == "user-1",
        "nobody gets in as another user");
}

void Hostile::check(const Finish& finish)
{
    know(finish.session);
    for (const auto& cookie : finish.cookies) {
        demand(is_clean(cookie), "a cookie fits into a header");
        demand(signed_ || !cookie.starts_with("NGX_OIDC_SESSION=") ||
                cookie.starts_with("NGX_OIDC_SESSION=;"),
            "no session is set");
        demand(
            cookie.find("; HttpOnly") != cookie.npos, "scripts do not see it");
    }
    if (finish.error) {
        demand(is_printable(finish.error->detail), "fit for a log");
        demand(finish.location.empty() && finish.claimed.empty(),
            "an error goes nowhere");
        demand(!finish.session && finish.cookies.empty(),
            "an error leaves nothing behind");
    } else {
        check_location(finish.location);
    }
}

void Hostile::check_location(const std::string& location)
{
    demand(!location.empty() && is_clean(location),
        "a location fits into a header");
    if (auto metadata = provider_.metadata(now_)) {
        hosts_.insert(parse_url(metadata->authorization_endpoint)->host);
    }
    auto origin = parse_url(origin_);
    auto host =
        host_reached(location, origin ? origin->host : "nowhere.example");
    demand(hosts_.count(host) == 1, "to the provider or to a page of ours");
}

// Days later the provider is the real one again, and somebody logs in.
void Hostile::recover()
{
    now_ += 7 * 86400;
    metadata_ = good_metadata();
    keys_ = good_keys();
    newer_keys_.reset();
    userinfo_ = good_userinfo();
    pushed_ = good_push();
    claimed_ = {Claimed::ours, {}};
    jar_.cookies.clear();
    origin_ = "https://app.example";
    method_.clear();

    check(visit(false, last_page_));
    tokens_ = json_answer(object({{"access_token", R"("at-1")"},
        {"token_type", R"("Bearer")"}, {"id_token", "\"" + token({}) + "\""}}));
    auto end = visit(
        true, "code=c&iss=https%3A%2F%2Fop.example&state=" + sent("state"));
    demand(!end.error && end.session, "a login ends well");
    demand(end.session->claim("sub") == "user-1", "as that user");
    demand(host_reached(end.location, "app.example") == "app.example",
        "on our origin");
}

}

FUZZ(hostile)
{
    Hostile().play(input);
}

}
