#include "browser.h"
#include "core/encoding.h"
#include "core/url.h"
#include "flow/backchannel_logout.h"
#include "flow/callback.h"
#include "flow/frontchannel_logout.h"
#include "flow/gate.h"
#include "flow/logout.h"
#include "flow/renewal.h"
#include "flow/restore.h"
#include "fuzz.h"
#include "hostile_environment.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace oidc::test {
namespace {

// Plays a script, one command a line, in an environment as hostile as the
// script says. A script can use a good token of each kind, and plant cookies in
// the browser.
class Hostile {
public:
    Hostile() { configure(""); }

    void play(std::string_view script);

private:
    void obey(char command, const std::string& argument);
    void configure(std::string_view options);
    void decide(Acquired& acquired, const std::string& argument);
    std::string filled(std::string text);

    void go_to(const std::string& origin);
    RequestView view(
        const char* method, std::string target, std::string_view reply = "");
    Finish enter(bool is_callback, const std::string& argument);
    void renew(Renewal::Refresh refresh);
    void log_out(const std::string& form);
    void log_out_in_frame(const std::string& query);
    void log_out_by_provider(const std::string& form);

    void know(const std::optional<Session>& session);
    void bury(const std::string& id, const Jar& copy);
    void check(const Finish& finish);
    void check_location(const std::string& location);
    void recover();

    HostileEnvironment environment_;
    std::optional<Error> failure_; // none: the store can load the session
    Jar jar_;
    std::string header_;
    std::string target_;
    std::string origin_ = "https://app.example";
    std::string method_;              // overrides the default method
    std::string last_page_ = "/page"; // target of the login at the end
    std::string fetch_site_;
    std::string fetch_dest_;
    std::string source_;

    std::vector<std::string> result_; // of the last completed callback
    std::string confirmation_;        // of the last confirmation page
    std::set<std::string> hosts_;     // allowed in a Location
    std::set<std::string> alive_;     // sessions that have not ended
    std::set<std::string> dead_;      // sessions that have ended
    Time used_until_;                 // end of the used logout token
    bool was_broken_ = false;         // the store failed
    bool was_planted_ = false;        // a cookie was planted
    bool signed_ = false;             // the real provider signed a good token
    bool logout_signed_ = false;      // and a good logout token
    bool confirmed_ = false;          // the user confirmed a logout
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

// Removes and returns the next word of a line.
std::string take_word(std::string_view& line)
{
    auto size = std::min(line.find(' '), line.size());
    std::string word(line.substr(0, size));
    line.remove_prefix(std::min(size + 1, line.size()));
    return word;
}

// Options by their first letter.
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

    client.session_store = has('n') ? SessionStore::named :
        has('c')                    ? SessionStore::cookie :
                                      SessionStore::automatic;
    client.session_idle_timeout = has('i') ? 600s : 0s;
    client.token_refresh = has('r') ? 60s : 0s;
    client.needs.refresh_token = client.needs.access_token = has('r');
    client.revoke_on_logout = client.needs.id_token = has('l');
    client.logout_token_hint = has('l');
    client.post_logout_uri = has('b') ? "/bye" : "";
    client.needs_digest = digest_of_needs(client.needs);
    Secret masters[] = {master_key(1)};
    environment_.configure(Provider(std::move(client), masters));
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
    std::string_view rest = argument;
    switch (command) {
    case 'm':
        environment_.metadata = answer(argument);
        break;
    case 'k':
        environment_.keys = answer(argument);
        break;
    case 'n': // where newer ones are asked for
        environment_.newer_keys = answer(argument);
        break;
    case 't':
        environment_.tokens = answer(argument);
        break;
    case 'x': // to a refresh
        environment_.refreshed = answer(argument);
        break;
    case 'i':
        environment_.userinfo = answer(argument);
        break;
    case 'u':
        environment_.pushed = answer(argument);
        break;
    case 'v': // to a revocation
        environment_.revoked = answer(argument);
        break;
    case 's':
        configure(argument);
        break;
    case 'e':
        decide(environment_.login, argument);
        break;
    case 'z': // what others leave of a renewal
        decide(environment_.renewal.emplace(), argument);
        break;
    case 'q': // these steps fail
        environment_.broken.clear();
        while (!rest.empty()) {
            environment_.breaks(take_word(rest));
        }
        was_broken_ = true;
        break;
    case 'b': // somebody planted a cookie
        jar_.take({argument});
        was_planted_ = true;
        break;
    case 'f': // the browser forgets
        jar_.cookies.clear();
        break;
    case 'o':
        go_to(argument);
        break;
    case 'p':
        method_ = argument;
        break;
    case 'r':
        last_page_ = argument;
        break;
    case 'y': // site, destination and source of the next requests
        fetch_site_ = take_word(rest);
        fetch_dest_ = take_word(rest);
        source_ = take_word(rest);
        break;
    case 'w': { // seconds pass
        std::int64_t seconds = 0;
        std::from_chars(
            argument.data(), argument.data() + argument.size(), seconds);
        environment_.now += Seconds(seconds & 0xfffff);
        break;
    }
    case 'g': // a protected page
        check(enter(false, argument));
        break;
    case 'c': // the callback, with this query or body
        check(enter(true, argument));
        break;
    case 'a': // a page that wants the session as it is now
        renew(argument == "never"       ? Renewal::Refresh::never :
                argument == "by_others" ? Renewal::Refresh::by_others :
                                          Renewal::Refresh::asked_for);
        break;
    case 'l':
        log_out(argument);
        break;
    case 'h':
        log_out_in_frame(argument);
        break;
    case 'j':
        log_out_by_provider(argument);
        break;
    }
}

// WHOSE and the result of an ended flow; for a callback the result is that of
// the last one.
void Hostile::decide(Acquired& acquired, const std::string& argument)
{
    std::string_view rest = argument;
    auto whose = take_word(rest);
    acquired.whose = whose == "ours" ? Acquired::ours :
        whose == "ended"             ? Acquired::ended :
                                       Acquired::vanished;
    acquired.result.clear();
    if (whose == "ended" && &acquired == &environment_.login) {
        acquired.result = result_;
    } else if (whose == "ended" && !rest.empty()) {
        acquired.result = {std::string(rest)};
    }
}

// Fills in parameters of this login, and tokens: with the real signature and
// at most one error, or good except for the signature.
std::string Hostile::filled(std::string text)
{
    auto fill = [&](std::string_view name, auto value) {
        if (auto at = text.find(name); at != text.npos) {
            text.replace(at, name.size(), value());
        }
    };
    auto token = [&](const char* name, const Members& wrong) {
        fill(name, [&] { return environment_.token(wrong); });
    };
    auto logout = [&](const char* name, const Members& changes) {
        fill(name, [&] {
            logout_signed_ = true;
            return environment_.logout_token(changes);
        });
    };
    fill("$state", [&] { return environment_.sent("state"); });
    fill("$old", [&] { return environment_.old_state; });
    fill("$nonce", [&] { return environment_.sent("nonce"); });
    token("$other-nonce", {{"nonce", R"("other")"}});
    token("$other-aud", {{"aud", R"("other")"}});
    token("$other-iss", {{"iss", R"("https://a")"}});
    token("$other-sub", {{"sub", R"("user-2")"}, {"nonce", ""}});
    token("$expired", {{"exp", "1"}});
    fill("$good", [&] {
        signed_ = true;
        return environment_.token({});
    });
    token("$no-sub", {{"sub", ""}});
    fill("$forged", [&] {
        auto good = environment_.token({});
        return good.substr(0, good.rfind('.') + 1) +
            base64url(std::string(64, 'Z'));
    });
    logout("$logout-sid", {{"sub", ""}});
    logout("$logout-sub", {{"sid", ""}});
    logout("$logout-both", {});
    fill("$logout-nonce", [&] {
        return environment_.logout_token({{"nonce", R"("n")"}});
    });
    fill("$logout-no-event", [&] {
        return environment_.logout_token({{"events", "{}"}});
    });
    fill("$confirmation", [&] {
        confirmed_ = true;
        return confirmation_;
    });
    fill("$cookie", [&] {
        return jar_.cookies[environment_.provider.session_cookie(
            environment_.is_secure)];
    });
    return text;
}

void Hostile::go_to(const std::string& origin)
{
    origin_ = origin;
    environment_.is_secure = is_secure(environment_.provider.client(), origin);
}

RequestView Hostile::view(
    const char* method, std::string target, std::string_view reply)
{
    if (auto origin = parse_url(origin_)) {
        hosts_.insert(origin->host);
    }
    header_ = jar_.header();
    target_ = std::move(target);
    RequestView view;
    view.method = method_.empty() ? method : std::string_view(method_);
    view.target = target_;
    view.reply = reply;
    view.origin = origin_;
    view.cookies = {header_};
    view.fetch_site = fetch_site_;
    view.fetch_dest = fetch_dest_;
    view.source = source_;
    view.cookie_room = 8192;
    return view;
}

Finish Hostile::enter(bool is_callback, const std::string& argument)
{
    auto posted = is_callback &&
        environment_.provider.client().response_mode == ResponseMode::form_post;
    auto target = posted ? "/oidc_callback" :
        is_callback      ? "/oidc_callback?" + argument :
                           argument;
    auto page = view(posted ? "POST" : "GET", target,
        is_callback ? std::string_view(argument) : "");

    auto session = environment_.current(jar_);
    know(session);
    Gate gate(environment_.provider, page);
    Callback callback(environment_.provider, page, session);
    auto before = environment_.parameters;
    auto finish =
        is_callback ? environment_.run(callback) : environment_.run(gate);
    jar_.take(finish.cookies);
    demand(finish.error || !finish.location.empty(), "it leads somewhere");
    if (!finish.result.empty()) {
        result_ = finish.result;
    }
    auto metadata = environment_.known_metadata();
    auto mark = finish.location.find('?');
    if (metadata && mark != std::string::npos &&
        environment_.parameters == before &&
        finish.location.starts_with(metadata->authorization_endpoint)) {
        environment_.remember(finish.location.substr(mark + 1));
    }
    return finish;
}

// A renewal returns the same session, and the browser then holds it. An outage
// alone ends no session.
void Hostile::renew(Renewal::Refresh refresh)
{
    auto before = environment_.current(jar_);
    know(before);
    auto page = view("GET", "/page");
    Restore restore(environment_.provider, environment_.opened(jar_));
    auto finish = environment_.run(restore);
    if (finish.session) {
        Renewal renewal(
            environment_.provider, page, std::move(*finish.session), refresh);
        finish = environment_.run(renewal);
    }
    jar_.take(finish.cookies);
    know(finish.session);
    check(finish);

    demand(finish.location.empty() && finish.page == Page::none,
        "it leads nowhere");
    demand(
        !finish.error || fault(finish.error->code).word.starts_with("store_"),
        "only its store fails it");
    demand(!finish.session || before, "no session out of nothing");
    if (finish.session) {
        demand(finish.session->id() == before->id() &&
                finish.session->started() == before->started(),
            "the same session");
        auto after = environment_.current(jar_);
        demand(was_planted_ || after, "the browser has it now");
        demand(!after || after->generation() == finish.session->generation(),
            "as it is");
    }
    auto is_outage = environment_.refreshed.status >= 500 &&
        !environment_.renewal &&
        environment_.provider.client().session_store != SessionStore::cookie;
    demand(finish.session || !before || !is_outage || was_broken_,
        "an outage ends no session");
}

void Hostile::log_out(const std::string& form)
{
    auto before = environment_.current(jar_);
    know(before);
    auto copy = jar_;
    auto page = view("POST", "/logout", form);
    Logout logout(environment_.provider, page, before, failure_);
    auto finish = environment_.run(logout);
    jar_.take(finish.cookies);
    check(finish);
    if (finish.error) {
        return;
    }
    if (finish.page == Page::confirm_logout) {
        confirmation_ = finish.confirmation;
        demand(before && finish.cookies.empty() && environment_.current(jar_),
            "it asks, no more");
        return;
    }
    demand(!before || fetch_site_ != "cross-site" || confirmed_,
        "no other site logs anybody out");
    if (finish.page != Page::logged_out) {
        check_location(finish.location);
    }
    if (before) {
        bury(std::string(before->id()), copy);
    }
}

void Hostile::log_out_in_frame(const std::string& query)
{
    auto before = environment_.current(jar_);
    know(before);
    auto copy = jar_;
    auto page = view("GET", "/frontchannel_logout?" + query, query);
    FrontChannelLogout logout(environment_.provider, page, before, failure_);
    auto finish = environment_.run(logout);
    jar_.take(finish.cookies);
    check(finish);
    if (finish.error) {
        return;
    }
    demand(finish.page == Page::done, "the same page for all");
    auto named = parse_front_channel(query);
    auto by_cookie = named && !named->sid;
    auto in_frame = fetch_dest_ == "iframe" || fetch_dest_ == "frame";
    if (by_cookie && !in_frame) {
        demand(finish.cookies.empty() &&
                environment_.current(jar_).has_value() == before.has_value(),
            "nothing ends unseen");
    } else if (before && (by_cookie || !finish.cookies.empty())) {
        bury(std::string(before->id()), copy);
    }
}

// By sid or by sub: all sessions here have the same.
void Hostile::log_out_by_provider(const std::string& form)
{
    auto before = environment_.current(jar_);
    auto copy = jar_;
    auto page = view("POST", "/backchannel_logout", form);
    page.cookies.clear();
    BackChannelLogout logout(environment_.provider, page);
    auto finish = environment_.run(logout);
    check(finish);
    demand(finish.cookies.empty(), "no cookies for a provider");
    if (finish.error) {
        return;
    }
    demand(logout_signed_, "nobody else logs anybody out");
    demand(finish.page == Page::done && finish.result.empty(), "it is done");
    demand(environment_.now >= used_until_, "a token serves once");
    used_until_ = environment_.now + finish.keep_result;
    dead_.insert(alive_.begin(), alive_.end());
    alive_.clear();
    if (before) {
        bury(std::string(before->id()), copy);
    }
}

// The session has ended, and no copy of its cookies restores it.
void Hostile::bury(const std::string& id, const Jar& copy)
{
    alive_.erase(id);
    dead_.insert(id);
    demand(!environment_.current(jar_), "logged out");
    demand(!environment_.current(copy), "with all copies of its cookies");
}

void Hostile::know(const std::optional<Session>& session)
{
    if (!session) {
        return;
    }
    demand(signed_, "nobody gets in without a good token");
    demand(session->claim("sub") == "user-1", "nobody gets in as another user");
    std::string id(session->id());
    demand(!dead_.contains(id), "nobody gets in with what has ended");
    alive_.insert(id);
}

void Hostile::check(const Finish& finish)
{
    know(finish.session);
    for (const auto& cookie : finish.cookies) {
        demand(is_clean(cookie), "a cookie fits into a header");
        auto name = cookie.substr(0, cookie.find('='));
        demand(signed_ || cookie.starts_with(name + "=;") ||
                name.find("_login_") != name.npos,
            "no session is set");
        demand(
            cookie.find("; HttpOnly") != cookie.npos, "scripts do not see it");
    }
    demand(!finish.warning || is_printable(finish.warning->detail),
        "a warning is fit for a log");
    if (finish.error) {
        demand(is_printable(finish.error->detail), "fit for a log");
        demand(finish.location.empty() && finish.result.empty(),
            "an error goes nowhere");
        auto is_logout =
            finish.page == Page::logged_out_here || finish.page == Page::done;
        demand(!finish.session && (finish.cookies.empty() || is_logout),
            "an error leaves nothing behind");
    } else if (finish.page == Page::logged_in || !finish.location.empty()) {
        check_location(finish.location);
    }
}

void Hostile::check_location(const std::string& location)
{
    demand(!location.empty() && is_clean(location),
        "a location fits into a header");
    if (auto metadata = environment_.known_metadata()) {
        hosts_.insert(parse_url(metadata->authorization_endpoint)->host);
        if (auto end = parse_url(metadata->end_session_endpoint)) {
            hosts_.insert(end->host);
        }
    }
    // Without a host in the request, the browser stays on its current host.
    auto origin = parse_url(origin_);
    auto own = origin ? origin->host : "nowhere.example";
    hosts_.insert(own);
    auto host = host_reached(location, own);
    demand(hosts_.count(host) == 1, "to the provider or to a page of ours");
}

// Days later the provider works again, and a user logs in.
void Hostile::recover()
{
    environment_.now += 7 * 86400s;
    environment_.recover();
    jar_.cookies.clear();
    go_to("https://app.example");
    method_.clear();

    check(enter(false, last_page_));
    environment_.tokens = json_answer(
        object({{"access_token", R"("at-1")"}, {"token_type", R"("Bearer")"},
            {"id_token", "\"" + environment_.token({}) + "\""}}));
    signed_ = true;
    auto end = enter(true,
        "code=c&iss=https%3A%2F%2Fop.example&state=" +
            environment_.sent("state"));
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
