#include "flow/renewal.h"

#include "flow/place.h"
#include "oidc/client_auth.h"

namespace oidc {
namespace {

// What a renewal leaves where the session came to its end, and where its store
// has it: a cookie's value would be a session in the hands of who sees it.
constexpr std::string_view no_session = "-";
constexpr std::string_view in_store = "+";

// From before the configuration named a store.
bool wants_store(const Client& client, const Session& session)
{
    return client.session_store == SessionStore::named && !session.ticket();
}

}

bool Renewal::is_due(const Client& client, const Session& session,
    Refresh refresh, std::int64_t now)
{
    return wants_store(client, session) ||
        (refresh != Refresh::never && session.wants_refresh(client, now)) ||
        session.wants_seal(client, now);
}

Step Renewal::start(const World& world)
{
    if (held_.ticket) {
        return load(*std::exchange(held_.ticket, std::nullopt));
    }
    // Whether it was revoked the store knows.
    if (held_.session && wants_store(client(), *held_.session)) {
        return ask(Load{{}, held_.session->marks(client())}, &Renewal::loaded);
    }
    return judge(world);
}

Step Renewal::load(const Ticket& ticket)
{
    ticket_ = ticket;
    return ask(Load{ticket.key(), ticket.marks()}, &Renewal::loaded);
}

Step Renewal::loaded(const World& world, Result<Loaded> loaded)
{
    if (!loaded) {
        return refuse(std::move(loaded).error());
    }
    if (ticket_ && loaded->blob) {
        held_.session =
            Session::open_stored(*ticket_, *loaded->blob, provider_, world.now);
    }
    if (held_.session && held_.session->started() <= loaded->revoked_at) {
        held_.session.reset();
    }
    return judge(world);
}

Step Renewal::judge(const World& world)
{
    // What was left for this session is this session, wherever it was left.
    if (!held_.session || (!id_.empty() && held_.session->id() != id_)) {
        return Finish{};
    }
    const auto& session = *held_.session;
    if (wants_store(client(), session)) {
        return keep(world);
    }
    if (refresh_ != Refresh::never &&
        session.wants_refresh(client(), world.now)) {
        refreshing_ = true;
        return ask(
            Claim{session.generation(), world.now + grace, Purpose::renewal},
            &Renewal::claimed);
    }
    if (session.wants_seal(client(), world.now)) {
        held_.session = session.seen(world.now);
        return keep(world);
    }
    return pass();
}

// Another request may have done it for this one, or failed.
Step Renewal::claimed(const World& world, Claimed claimed)
{
    auto is_ours = claimed.whose == Claimed::ours;
    if (is_ours && refresh_ == Refresh::asked_for) {
        return ask(Learn{Part::metadata}, &Renewal::learn_keys);
    }
    refresh_ = Refresh::never;
    keep_left_ = peace;
    if (claimed.left.empty()) {
        return judge(world);
    }
    return pick_up(world, claimed.left.front());
}

Step Renewal::pick_up(const World& world, const std::string& left)
{
    auto old = *std::exchange(held_.session, std::nullopt);
    id_ = old.id();
    if (left == in_store && old.ticket()) {
        return load(*old.ticket());
    }
    auto found = Session::open_value(left, provider_, world.now);
    value_ = left;
    held_.session = std::move(found.session);
    return found.ticket ? load(*found.ticket) : judge(world);
}

// The keys first: once the refresh token is spent nothing may be missing.
Step Renewal::learn_keys(const World& world, Check learnt)
{
    if (provider_.metadata(world.now) == nullptr) {
        return keep_old(world, unknown(std::move(learnt)));
    }
    return ask(Learn{Part::keys}, &Renewal::refresh);
}

Step Renewal::refresh(const World& world, Check learnt)
{
    auto metadata = provider_.metadata(world.now);
    if (metadata == nullptr || provider_.keys(world.now) == nullptr) {
        return keep_old(world, unknown(std::move(learnt)));
    }
    auto request = refresh_request(*metadata, *held_.session->refresh_token());
    auto proven =
        authenticate(request, client(), *metadata, world.now, world.random);
    if (!proven) {
        return keep_old(world, std::move(proven).error());
    }
    return ask(Fetch{std::move(request)}, &Renewal::tokens);
}

Step Renewal::tokens(const World& world, Result<HttpResponse> response)
{
    if (!response) {
        return keep_old(world, std::move(response).error());
    }
    auto tokens = parse_refreshed(*response);
    if (!tokens && tokens.error().code == Errc::provider_invalid_grant) {
        return end_session(world, std::move(tokens).error());
    }
    if (!tokens) {
        return keep_old(world, std::move(tokens).error());
    }
    tokens_ = std::move(*tokens);
    if (tokens_.id_token.empty()) {
        return renew(world);
    }
    return ask(Learn{Part::keys}, &Renewal::verify);
}

// Core, 12.2: of the same user; a nonce is not demanded.
Step Renewal::verify(const World& world, Check learnt)
{
    auto keys = provider_.keys(world.now);
    if (keys == nullptr) {
        return keep_old(world, unknown(std::move(learnt)));
    }
    auto token = IdToken::verify(tokens_.id_token,
        {client(), *keys, std::nullopt, tokens_.access_token, world.now});
    if (!token && wants_newer_keys(token.error()) && !renewed_keys_) {
        renewed_keys_ = true;
        doubt_ = std::move(token).error();
        return ask(Learn{Part::keys, true}, &Renewal::renewed_keys);
    }
    if (!token) {
        return end_session(world, std::move(token).error());
    }
    if (token->subject() != held_.session->claim("sub")) {
        return end_session(world,
            {Errc::id_token_subject,
                "id token has another sub than the session"});
    }
    token_ = std::move(*token);
    return renew(world);
}

Step Renewal::renewed_keys(const World& world, Check learnt)
{
    return learnt ? verify(world, std::move(learnt)) :
                    keep_old(world, std::move(*doubt_));
}

Step Renewal::renew(const World& world)
{
    held_.session = held_.session->renew(token_, tokens_, client(), world.now);
    return keep(world);
}

Step Renewal::keep(const World& world)
{
    auto is_stored = held_.session->ticket().has_value();
    auto kept = held_.session->keep(
        provider_, visit_.cookie_room, world.now, world.random);
    if (!kept) {
        return end_session(world, std::move(kept).error());
    }
    value_ = std::move(kept->cookie);
    left_ = is_stored ? in_store : value_;
    if (!kept->save) {
        return pass();
    }
    return ask(std::move(*kept->save), &Renewal::saved);
}

// The tokens are spent: without the new ones there is nothing to go on with.
Step Renewal::saved(const World&, Check saved)
{
    return saved ? Step(pass()) : refuse(std::move(saved).error());
}

// The session is good until its own end; a request tries again later.
Step Renewal::keep_old(const World& world, Error why)
{
    failure_ = std::move(why);
    refresh_ = Refresh::never;
    return judge(world);
}

// Copies of its cookie end with it.
Step Renewal::end_session(const World& world, Error why)
{
    end_.warning = std::move(why);
    end_.left = {std::string(no_session)};
    end_.keep_left = grace;
    end_.cookies = clear_session(client(), visit_.cookies, is_secure());
    return ask(Revoke{{held_.session->marks(client()).front()},
                   world.now + client().session_timeout},
        &Renewal::revoked);
}

Step Renewal::revoked(const World&, Check revoked)
{
    note(std::move(revoked));
    auto session = std::exchange(held_.session, std::nullopt);
    if (!session->ticket()) {
        return std::move(end_);
    }
    return ask(Drop{session->ticket()->key()}, &Renewal::dropped);
}

Step Renewal::dropped(const World&, Check dropped)
{
    note(std::move(dropped));
    return std::move(end_);
}

void Renewal::note(Check done)
{
    if (!done) {
        end_.warning->detail += ", and " + std::move(done).error().detail;
    }
}

Finish Renewal::pass()
{
    Finish finish;
    finish.session = std::move(held_.session);
    finish.warning = std::move(failure_);
    finish.keep_left = keep_left_;
    if (!value_.empty()) {
        finish.cookies =
            session_cookies(client(), value_, visit_.cookies, is_secure());
    }
    if (!finish.warning && !left_.empty()) {
        finish.left = {left_};
        finish.keep_left = grace;
    }
    return finish;
}

bool Renewal::is_secure() const
{
    auto place = Place::of(client(), visit_.origin);
    return place && place->secure;
}

}
