#include "oidc/session.h"

#include "core/encoding.h"
#include "core/fields.h"
#include "oidc/claims.h"
#include "oidc/logout.h"

#include <algorithm>
#include <map>

namespace oidc {
namespace {

constexpr std::size_t id_size = 16;
constexpr std::size_t needs_digest_size = 8;
constexpr std::size_t max_sid = 255;

// What "session_store auto" keeps in cookies: beside the others of a request
// it fits into nginx's usual 8 KB of header.
constexpr std::size_t max_by_itself = 4096;

// The second version tells the claims of the ID token from those of user info.
// In the first one all have tag_claim, and are taken for the ID token's.
constexpr char version = 2;

enum Tag : unsigned char {
    tag_id = 1,
    tag_needs,
    tag_expires,
    tag_auth_time,
    tag_access_expires,
    tag_claim, // of the ID token: size of the name (1 byte), name, text
    tag_id_token,
    tag_access_token,
    tag_absent_claim, // the name of one that neither source had
    tag_all_claims,   // any that is not here was in neither source
    tag_userinfo,
    tag_started,
    tag_renewed,
    tag_seen,
    tag_refresh_token,
    tag_sid,
    tag_userinfo_claim, // of user info; like tag_claim
    tag_shared_claim,   // the same text in both
    tag_moved,          // the sid is not the one of the login
    tag_owing,          // user info was not asked for at the last renewal
};

std::string_view name_of_claim(std::string_view field)
{
    auto size = field.empty() ? 0 : static_cast<unsigned char>(field.front());
    return field.substr(field.empty() ? 0 : 1, size);
}

std::string_view text_of_claim(std::string_view field)
{
    return field.substr(1 + name_of_claim(field).size());
}

void write_claim(FieldWriter& fields, Tag tag, std::string_view name,
    const std::string& text)
{
    constexpr std::size_t longest = 255;
    if (name.size() > longest) {
        return;
    }
    std::string field(1, static_cast<char>(name.size()));
    field += name;
    field += text;
    fields.text(tag, field);
}

using ClaimTexts = std::map<std::string, std::string>;

ClaimTexts texts_of(JsonValue source)
{
    ClaimTexts texts;
    for (const auto& [name, value] : claims_by_name(source)) {
        if (auto text = claim_text(value)) {
            texts.emplace(name, std::move(*text));
        }
    }
    return texts;
}

// What is known of the user, in text, by where it comes from: what a source
// does not say any more is gone when it is asked again.
struct Claims {
    ClaimTexts token;
    ClaimTexts userinfo;
};

Claims read_claims(std::string_view bytes)
{
    Claims claims;
    FieldReader fields(bytes, version);
    while (auto field = fields.next()) {
        if (field->bytes.empty() ||
            (field->tag != tag_claim && field->tag != tag_shared_claim &&
                field->tag != tag_userinfo_claim)) {
            continue;
        }
        std::string name(name_of_claim(field->bytes));
        std::string text(text_of_claim(field->bytes));
        if (field->tag != tag_userinfo_claim) {
            claims.token.emplace(name, text);
        }
        if (field->tag != tag_claim) {
            claims.userinfo.emplace(name, text);
        }
    }
    return claims;
}

// Facts of the login, and whose it was.
bool is_of_login(std::string_view name)
{
    constexpr std::string_view names[] = {
        "acr", "amr", "auth_time", "sid", "sub"};
    return std::find(std::begin(names), std::end(names), name) !=
        std::end(names);
}

// The facts of the login stay where a refreshed token does not name them.
ClaimTexts refreshed_texts(const ClaimTexts& old, const IdToken& token)
{
    auto texts = texts_of(token.claims());
    for (const auto& claim : old) {
        if (is_of_login(claim.first)) {
            texts.insert(claim);
        }
    }
    return texts;
}

bool is_needed(const std::string& claim, const Needs& needs)
{
    return std::binary_search(needs.claims.begin(), needs.claims.end(), claim);
}

// False for one that neither source has. The ID token's goes first.
bool write_claim(
    FieldWriter& fields, const Claims& claims, const std::string& name)
{
    auto token = claims.token.find(name);
    auto userinfo = claims.userinfo.find(name);
    auto in_token = token != claims.token.end();
    auto in_userinfo = userinfo != claims.userinfo.end();

    if (in_token && in_userinfo && token->second == userinfo->second) {
        write_claim(fields, tag_shared_claim, name, token->second);
        return true;
    }
    if (in_token) {
        write_claim(fields, tag_claim, name, token->second);
    }
    if (in_userinfo) {
        write_claim(fields, tag_userinfo_claim, name, userinfo->second);
    }
    return in_token || in_userinfo;
}

void write_claims(FieldWriter& fields, const Claims& claims, const Needs& needs)
{
    for (const auto& name : needs.claims) {
        if (!write_claim(fields, claims, name)) {
            fields.text(tag_absent_claim, name);
        }
    }
    if (!needs.all_claims) {
        return;
    }
    fields.text(tag_all_claims, "");
    auto all = claims.token;
    all.insert(claims.userinfo.begin(), claims.userinfo.end());
    for (const auto& [name, text] : all) {
        if (!is_needed(name, needs)) {
            write_claim(fields, claims, name);
        }
    }
}

// Whoever plants the head of a cookie in chunks has all of them joined to it:
// only what names a key of ours is worth that.
bool may_be_ours(std::string_view head, const Provider& provider)
{
    constexpr std::size_t beginning = 60; // characters
    auto is_chunked = head.size() > 1 && head[1] == '.';
    if (!is_chunked) {
        return true;
    }
    if (head.size() < 2 + beginning) {
        return false;
    }
    auto start = base64url_decode(head.substr(2, beginning));
    return start && !provider.session_ring().is_foreign(*start);
}

// Cookies of one name: somebody may have planted any number of them, before
// ours or after.
void open_all(std::vector<Opened>& held, CookieLines cookies,
    const Provider& provider, bool secure)
{
    constexpr std::size_t max_tried = 128 * 1024; // bytes of values
    constexpr std::size_t max_held = 4;
    const auto& name = provider.session_cookie(secure);
    ChunkedCookie cookie(cookies, name);
    auto most = held.size() + max_held;
    std::size_t tried = 0;

    for (auto head : cookie.heads()) {
        auto value =
            may_be_ours(head, provider) ? cookie.join(head) : std::nullopt;
        tried += value ? value->size() : head.size();
        if (value) {
            auto opened = Opened::from_value(*value, provider);
            opened.is_plain = name != provider.session_cookie(true);
            if (opened) {
                held.push_back(std::move(opened));
            }
        }
        if (tried >= max_tried || held.size() >= most) {
            return;
        }
    }
}

// That much later; at the end of all times at the latest.
Time later(Time time, Seconds seconds)
{
    return std::min(time, Time::max() - seconds) + seconds;
}

// By the configuration, of a session whose login was at the one time and whose
// tokens came at the other.
Time last_end(const Client& client, TimeMs started, Time renewed)
{
    auto end = later(renewed, client.session_timeout);
    return client.session_max_lifetime > 0s ?
        std::min(end,
            later(std::chrono::floor<Seconds>(started),
                client.session_max_lifetime)) :
        end;
}

void write_text(FieldWriter& fields, Tag tag, bool is_needed,
    std::optional<std::string_view> text)
{
    if (is_needed && text && !text->empty()) {
        fields.text(tag, *text);
    }
}

// What comes anew with every answer of the token endpoint.
void write_tokens(FieldWriter& fields, std::optional<std::string_view> id_token,
    std::optional<std::string_view> refresh_token, const Tokens& tokens,
    const Client& client, TimeMs started, Time now)
{
    const auto& needs = client.needs;
    fields.text(tag_needs, client.needs_digest);
    fields.number(tag_expires, to_seconds(last_end(client, started, now)));
    fields.number(tag_renewed, to_seconds(now));
    write_text(fields, tag_id_token, needs.id_token, id_token);
    if (needs.access_token) {
        fields.text(tag_access_token, tokens.access_token);
    }
    if (tokens.expires_in > 0s) {
        fields.number(tag_access_expires, to_seconds(now + tokens.expires_in));
    }
    write_text(fields, tag_refresh_token, needs.refresh_token, refresh_token);
}

void write_seen(FieldWriter& fields, const Client& client, Time now)
{
    if (client.session_idle_timeout > 0s) {
        fields.number(tag_seen, to_seconds(now));
    }
}

std::optional<std::string> sid_of(const IdToken& token)
{
    auto sid = token.claims()["sid"].string();
    return sid && sid->size() <= max_sid ? std::optional(std::string(*sid)) :
                                           std::nullopt;
}

std::size_t size_in_request(std::size_t value, const std::string& name)
{
    auto chunks = value / cookie_chunk + 1;
    return value + chunks * (name.size() + sizeof("=; .1"));
}

}

std::string digest_of_needs(const Needs& needs)
{
    std::string list = bind_fields({needs.all_claims ? "all" : "some",
        needs.id_token ? "id" : "", needs.access_token ? "access" : "",
        needs.refresh_token ? "refresh" : "",
        needs.userinfo ? "userinfo" : ""});
    for (const auto& name : needs.claims) {
        list += bind_fields({name});
    }
    return digest(Hash::sha256, list).substr(0, needs_digest_size);
}

Session Session::begin(const IdToken& token,
    const std::optional<UserInfo>& userinfo, const Tokens& tokens,
    const Client& client, TimeMs started, Time now, Random random)
{
    FieldWriter fields(version);
    fields.text(tag_id, random(id_size));
    fields.number(tag_started, to_milliseconds(started));
    write_tokens(fields, token.compact(), tokens.refresh_token, tokens, client,
        started, now);
    write_seen(fields, client, now);
    if (auto auth_time = token.auth_time()) {
        fields.number(tag_auth_time, to_seconds(*auth_time));
    }
    if (auto sid = sid_of(token)) {
        fields.text(tag_sid, *sid);
    }
    Claims claims{texts_of(token.claims()),
        userinfo ? texts_of(userinfo->claims()) : ClaimTexts()};
    write_claims(fields, claims, client.needs);
    if (client.needs.userinfo && userinfo) {
        fields.text(tag_userinfo, userinfo->claims().dump());
    }
    return Session(fields.take(), client);
}

Session Session::renew(const std::optional<IdToken>& token,
    const std::optional<UserInfo>& userinfo, const Tokens& tokens,
    const Client& client, Time now) const
{
    auto claims = read_claims(fields_);
    auto sid = token ? sid_of(*token) : std::nullopt;
    auto auth_time = token ? token->auth_time() : std::nullopt;

    FieldWriter fields(version);
    fields.text(tag_id, id());
    fields.number(tag_started, to_milliseconds(started_));
    write_tokens(fields, token ? token->compact() : id_token(),
        tokens.refresh_token.empty() ? refresh_token() : tokens.refresh_token,
        tokens, client, started_, now);
    write_seen(fields, client, now);
    // Core, 12.2: it tells the login, and no refresh makes that a later one.
    auto is_told = auth_time_ > Time();
    if (is_told || auth_time) {
        fields.number(tag_auth_time,
            to_seconds(is_told ?
                    std::min(auth_time_, auth_time.value_or(auth_time_)) :
                    *auth_time));
    }
    if (sid || this->sid()) {
        fields.text(tag_sid, sid ? *sid : *this->sid());
    }
    if (find(tag_moved) || (sid && sid != this->sid())) {
        fields.text(tag_moved, "");
    }
    if (token) {
        claims.token = refreshed_texts(claims.token, *token);
    }
    if (userinfo) {
        claims.userinfo = texts_of(userinfo->claims());
    }
    if (userinfo && !token && fields_.front() < version) {
        // They may be those of the old user info.
        std::erase_if(claims.token,
            [](const auto& claim) { return !is_of_login(claim.first); });
    }
    write_claims(fields, claims, client.needs);
    auto json =
        userinfo ? std::optional(userinfo->claims().dump()) : std::nullopt;
    write_text(fields, tag_userinfo, client.needs.userinfo,
        json ? json : this->userinfo());
    return Session(fields.take(), client, ticket_);
}

Session Session::without_userinfo(const Client& client) const
{
    FieldWriter fields(version);
    FieldReader old(fields_, version);
    while (auto field = old.next()) {
        fields.text(field->tag, field->bytes);
    }
    fields.text(tag_owing, "");
    return Session(fields.take(), client, ticket_);
}

bool Session::owes_userinfo() const
{
    return find(tag_owing).has_value();
}

Session Session::seen(Time now) const
{
    auto session = *this;
    FieldWriter fields(fields_.front());
    FieldReader old(fields_, version);
    while (auto field = old.next()) {
        if (field->tag != tag_seen) {
            fields.text(field->tag, field->bytes);
        }
    }
    fields.number(tag_seen, to_seconds(now));
    session.fields_ = fields.take();
    session.seen_ = now;
    return session;
}

Session::Session(
    std::string fields, const Client& client, std::optional<Ticket> ticket) :
    fields_(std::move(fields)),
    ticket_(std::move(ticket))
{
    is_whole_ = read(client);
}

Session::Acceptance Session::accept(
    OpenedSession opened, const Client& client, TimeMs revoked_at, Time now)
{
    auto& session = opened.session_;
    if (now >= session.expires_ || session.has_idled(client, now) ||
        !session.serves(client)) {
        return {};
    }
    if (session.started_ <= revoked_at) {
        return {{}, std::move(opened)};
    }
    return {std::move(session), {}};
}

std::optional<OpenedSession> OpenedSession::of(
    std::string fields, const Client& client, std::optional<Ticket> ticket)
{
    Session session(std::move(fields), client, std::move(ticket));
    return session.is_whole_ ?
        std::optional(OpenedSession(std::move(session))) :
        std::nullopt;
}

bool OpenedSession::has_moved() const
{
    return session_.find(tag_moved).has_value();
}

std::vector<Opened> Opened::all_from(
    CookieLines cookies, const Provider& provider, bool secure)
{
    std::vector<Opened> held;
    open_all(held, cookies, provider, true);
    if (!secure &&
        provider.session_cookie(false) != provider.session_cookie(true)) {
        open_all(held, cookies, provider, false);
    }
    return held;
}

Opened Opened::from_value(std::string_view value, const Provider& provider)
{
    auto sealed = base64url_decode(value);
    if (!sealed) {
        return {};
    }
    auto opened =
        provider.session_ring().open(*sealed, provider.session_seal_context());
    if (!opened) {
        return {};
    }
    if (auto ticket = Ticket::read(opened->plain)) {
        return {{}, std::move(ticket)};
    }
    return {
        OpenedSession::of(std::move(opened->plain), provider.client(), {}), {}};
}

std::optional<OpenedSession> open_stored(
    const Ticket& ticket, std::string_view blob, const Provider& provider)
{
    auto plain = ticket.open(blob, provider.session_seal_context());
    if (!plain) {
        return {};
    }
    return OpenedSession::of(std::move(*plain), provider.client(), ticket);
}

Result<Session::Kept> Session::keep(
    const Provider& provider, std::size_t most, Time now, Random random) const
{
    const auto& client = provider.client();
    const auto& max_name = provider.session_cookie(true);
    auto seal = [&](std::string_view plain) {
        return base64url(provider.session_ring().seal(
            plain, provider.session_seal_context(), random));
    };
    most = std::min(
        most, size_in_request(cookie_chunk * max_chunks - 1, max_name));

    if (!ticket_ && client.session_store != SessionStore::named) {
        auto value = seal(fields_);
        auto size = size_in_request(value.size(), max_name);
        auto stays = client.session_store == SessionStore::automatic ?
            std::min(most, max_by_itself) :
            most;
        if (size <= stays) {
            return Kept{std::move(value), {}};
        }
        if (client.session_store == SessionStore::cookie) {
            return Error{Errc::session_too_large,
                "session needs " + std::to_string(size) +
                    " bytes of cookies, but large_client_header_buffers and "
                    "the limit of nine cookies allow " +
                    std::to_string(most)};
        }
    }
    auto keys = revocation_keys(client);
    auto ticket = ticket_ ? ticket_->with(keys) : Ticket::make(keys, random);
    auto idle_end = now + client.session_idle_timeout;
    auto until = client.session_idle_timeout > 0s ?
        std::min(expires_, idle_end) :
        expires_;
    return Kept{seal(ticket.fields()),
        Save{ticket.key(),
            ticket.seal(fields_, provider.session_seal_context(), random),
            until, subject_key(client),
            sid() ? revocation_key(client, "sid", *sid()) : "", expires_}};
}

// It ends at the earliest of what it carries and what the configuration says by
// now: revocations are not kept any longer.
bool Session::read(const Client& client)
{
    FieldReader fields(fields_, version);
    while (auto field = fields.next()) {
        switch (field->tag) {
        case tag_started:
            started_ = from_milliseconds(field->number());
            break;
        case tag_expires:
            sealed_end_ = from_seconds(field->number());
            break;
        case tag_renewed:
            renewed_ = from_seconds(field->number());
            break;
        case tag_seen:
            seen_ = from_seconds(field->number());
            break;
        case tag_auth_time:
            auth_time_ = from_seconds(field->number());
            break;
        case tag_access_expires:
            access_expires_ = from_seconds(field->number());
            break;
        }
    }
    expires_ = std::min(sealed_end_, last_end(client, started_, renewed_));
    return fields.complete();
}

// In a store its time to live tells; a session of before there was such a
// timeout begins to idle now.
bool Session::has_idled(const Client& client, Time now) const
{
    return client.session_idle_timeout > 0s && seen_ > Time() && !ticket_ &&
        now >= later(seen_, client.session_idle_timeout);
}

bool Session::wants_seal(const Client& client, Time now) const
{
    auto step = std::max(client.session_idle_timeout / 20, 1s);
    return client.session_idle_timeout > 0s && !ticket_ && now >= seen_ + step;
}

// Ahead of its end, but a short-lived token's first half is its own.
bool Session::wants_refresh(const Client& client, Time now) const
{
    if (owes_userinfo() && client.userinfo) {
        return refresh_token().has_value();
    }
    if (client.token_refresh == 0s || access_expires_ == Time()) {
        return false;
    }
    auto ahead =
        std::min(client.token_refresh, (access_expires_ - renewed_) / 2);
    return now >= access_expires_ - ahead && refresh_token();
}

// A configuration that uses more than the session was sealed for needs a new
// one; the mark spares all others the comparison.
bool Session::serves(const Client& client) const
{
    const auto& needs = client.needs;
    if (find(tag_needs) == client.needs_digest) {
        return true;
    }
    auto all = find(tag_all_claims).has_value();
    if ((needs.all_claims && !all) || (needs.id_token && !id_token()) ||
        (needs.access_token && !access_token()) ||
        (needs.userinfo && !userinfo())) {
        return false;
    }
    return all ||
        std::all_of(needs.claims.begin(), needs.claims.end(),
            [this](const std::string& name) { return knows_of(name); });
}

bool Session::knows_of(std::string_view claim_name) const
{
    FieldReader fields(fields_, version);
    while (auto field = fields.next()) {
        if (field->tag == tag_absent_claim && field->bytes == claim_name) {
            return true;
        }
    }
    return claim(claim_name).has_value();
}

std::string_view Session::id() const
{
    return find(tag_id).value_or("");
}

std::string Session::handle() const
{
    return base64url(id());
}

std::vector<std::string> Session::revocation_keys(const Client& client) const
{
    return {own_key(client), subject_key(client),
        sid() ? revocation_key(client, "sid", *sid()) :
                revocation_key(
                    client, "sub without sid", claim("sub").value_or(""))};
}

std::string Session::own_key(const Client& client) const
{
    return revocation_key(client, "session", id());
}

std::string Session::subject_key(const Client& client) const
{
    return revocation_key(client, "sub", claim("sub").value_or(""));
}

std::string Session::generation() const
{
    return digest(Hash::sha256,
        bind_fields({"generation", id(), std::to_string(to_seconds(renewed_)),
            refresh_token().value_or("")}))
        .substr(0, id_size);
}

// Of one that both sources have the ID token's is written first.
std::optional<std::string_view> Session::claim(std::string_view name) const
{
    FieldReader fields(fields_, version);
    while (auto field = fields.next()) {
        auto is_claim = field->tag == tag_claim ||
            field->tag == tag_userinfo_claim || field->tag == tag_shared_claim;
        if (is_claim && !field->bytes.empty() &&
            name_of_claim(field->bytes) == name) {
            return text_of_claim(field->bytes);
        }
    }
    return {};
}

std::optional<std::string_view> Session::sid() const
{
    return find(tag_sid);
}

std::optional<std::string_view> Session::id_token() const
{
    return find(tag_id_token);
}

std::optional<std::string_view> Session::access_token() const
{
    return find(tag_access_token);
}

std::optional<std::string_view> Session::refresh_token() const
{
    return find(tag_refresh_token);
}

std::optional<std::string_view> Session::userinfo() const
{
    return find(tag_userinfo);
}

std::optional<std::string_view> Session::find(unsigned char tag) const
{
    FieldReader fields(fields_, version);
    while (auto field = fields.next()) {
        if (field->tag == tag) {
            return field->bytes;
        }
    }
    return {};
}

}
