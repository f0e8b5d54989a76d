#include "oidc/session.h"

#include "core/encode.h"
#include "core/fields.h"
#include "oidc/claims.h"
#include "oidc/logout.h"

#include <algorithm>
#include <map>

namespace oidc {
namespace {

constexpr std::size_t id_size = 16;
constexpr std::size_t mark_size = 8;
constexpr std::size_t longest_sid = 255;

// What "session_store auto" keeps in cookies: beside the others of a request
// it fits into nginx's usual 8 KB of header.
constexpr std::size_t most_by_itself = 4096;

enum Tag : unsigned char {
    tag_id = 1,
    tag_needs,
    tag_expires,
    tag_auth_time,
    tag_access_expires,
    tag_claim, // size of the name (1 byte), name, text
    tag_id_token,
    tag_access_token,
    tag_absent_claim, // the name of one that the token did not have
    tag_all_claims,   // any that is not here was not in the token
    tag_userinfo,
    tag_started,
    tag_renewed,
    tag_seen,
    tag_refresh_token,
    tag_sid,
};

std::string_view name_of_claim(std::string_view field)
{
    auto size = field.empty() ? 0 : static_cast<unsigned char>(field.front());
    return field.substr(field.empty() ? 0 : 1, size);
}

void write_claim(
    FieldWriter& fields, std::string_view name, const std::string& text)
{
    constexpr std::size_t longest = 255;
    if (name.size() > longest) {
        return;
    }
    std::string field(1, static_cast<char>(name.size()));
    field += name;
    field += text;
    fields.text(tag_claim, field);
}

// What is known of the user, in text: the ID token's claims go before the user
// info's.
using ClaimTexts = std::map<std::string, std::string>;

ClaimTexts texts_of(JsonValue token, const std::optional<UserInfo>& userinfo)
{
    ClaimTexts texts;
    for (auto source : {token, userinfo ? userinfo->claims() : JsonValue()}) {
        for (const auto& [name, value] : claims_by_name(source)) {
            if (auto text = claim_text(value)) {
                texts.emplace(name, std::move(*text));
            }
        }
    }
    return texts;
}

bool is_needed(const std::string& claim, const Needs& needs)
{
    return std::binary_search(needs.claims.begin(), needs.claims.end(), claim);
}

void write_claims(
    FieldWriter& fields, const ClaimTexts& claims, const Needs& needs)
{
    for (const auto& name : needs.claims) {
        auto claim = claims.find(name);
        if (claim != claims.end()) {
            write_claim(fields, name, claim->second);
        } else {
            fields.text(tag_absent_claim, name);
        }
    }
    if (!needs.all_claims) {
        return;
    }
    fields.text(tag_all_claims, "");
    for (const auto& [name, text] : claims) {
        if (!is_needed(name, needs)) {
            write_claim(fields, name, text);
        }
    }
}

// What comes anew with every answer of the token endpoint.
void write_tokens(FieldWriter& fields, const IdToken* token,
    const Tokens& tokens, const Client& client, std::int64_t now)
{
    fields.text(tag_needs, client.needs_mark);
    fields.number(tag_expires, now + client.session_timeout);
    fields.number(tag_renewed, now);
    if (client.needs.id_token && token) {
        fields.text(tag_id_token, token->compact());
    }
    if (client.needs.access_token) {
        fields.text(tag_access_token, tokens.access_token);
    }
    if (tokens.expires_in > 0) {
        fields.number(tag_access_expires, now + tokens.expires_in);
    }
    if (client.needs.refresh_token && !tokens.refresh_token.empty()) {
        fields.text(tag_refresh_token, tokens.refresh_token);
    }
}

void write_seen(FieldWriter& fields, const Client& client, std::int64_t now)
{
    if (client.session_idle_timeout > 0) {
        fields.number(tag_seen, now);
    }
}

// A field that renew() does not write anew.
bool outlives_refresh(const FieldReader::Field& field,
    const std::optional<IdToken>& token, const ClaimTexts& claims,
    const Tokens& tokens)
{
    switch (field.tag) {
    case tag_needs:
    case tag_expires:
    case tag_renewed:
    case tag_seen:
    case tag_access_token:
    case tag_access_expires:
        return false;
    case tag_id_token:
        return !token;
    // Core, 12.2: without a new one the old one stays.
    case tag_refresh_token:
        return tokens.refresh_token.empty();
    case tag_claim:
        return !claims.contains(std::string(name_of_claim(field.bytes)));
    case tag_absent_claim:
        return !claims.contains(std::string(field.bytes));
    default:
        return true;
    }
}

CookieScope session_scope(const Client& client, bool secure)
{
    return {client.cookie_name, client.cookie_domain, client.cookie_path,
        client.cookie_same_site,
        secure || client.cookie_name.starts_with("__") ||
            client.cookie_same_site == "None"};
}

std::size_t size_in_request(std::size_t value, const std::string& name)
{
    auto chunks = value / cookie_chunk + 1;
    return value + chunks * (name.size() + sizeof("=; .1"));
}

}

std::string mark_of(const Needs& needs)
{
    std::string list = bind_fields({needs.all_claims ? "all" : "some",
        needs.id_token ? "id" : "", needs.access_token ? "access" : "",
        needs.refresh_token ? "refresh" : "",
        needs.userinfo ? "userinfo" : ""});
    for (const auto& name : needs.claims) {
        list += bind_fields({name});
    }
    return digest(Hash::sha256, list).substr(0, mark_size);
}

std::vector<std::string> session_cookies(const Client& client,
    std::string_view value, CookieLines cookies, bool secure)
{
    return set_chunks(session_scope(client, secure), value, cookies);
}

std::vector<std::string> clear_session(
    const Client& client, CookieLines cookies, bool secure)
{
    return clear_chunks(session_scope(client, secure), cookies);
}

Session Session::begin(const IdToken& token,
    const std::optional<UserInfo>& userinfo, const Tokens& tokens,
    const Client& client, std::int64_t started, Random random)
{
    auto now = started / 1000;
    FieldWriter fields;
    fields.text(tag_id, random(id_size));
    fields.number(tag_started, started);
    write_tokens(fields, &token, tokens, client, now);
    write_seen(fields, client, now);
    if (auto auth_time = token.auth_time()) {
        fields.number(tag_auth_time, *auth_time);
    }
    auto sid = token.claims()["sid"].string();
    if (sid && sid->size() <= longest_sid) {
        fields.text(tag_sid, *sid);
    }
    write_claims(fields, texts_of(token.claims(), userinfo), client.needs);
    if (client.needs.userinfo && userinfo) {
        fields.text(tag_userinfo, userinfo->claims().dump());
    }
    Session session(fields.take());
    session.read();
    return session;
}

Session Session::renew(const std::optional<IdToken>& token,
    const Tokens& tokens, const Client& client, std::int64_t now) const
{
    auto claims =
        token ? texts_of(token->claims(), std::nullopt) : ClaimTexts();
    std::erase_if(claims, [&](const auto& claim) {
        return !client.needs.all_claims &&
            !is_needed(claim.first, client.needs);
    });
    FieldWriter fields;
    FieldReader old(fields_);
    while (auto field = old.next()) {
        if (outlives_refresh(*field, token, claims, tokens)) {
            fields.text(field->tag, field->bytes);
        }
    }
    write_tokens(fields, token ? &*token : nullptr, tokens, client, now);
    write_seen(fields, client, now);
    for (const auto& [name, text] : claims) {
        write_claim(fields, name, text);
    }
    Session session(fields.take());
    session.read();
    session.ticket_ = ticket_;
    return session;
}

Session Session::seen(std::int64_t now) const
{
    FieldWriter fields;
    FieldReader old(fields_);
    while (auto field = old.next()) {
        if (field->tag != tag_seen) {
            fields.text(field->tag, field->bytes);
        }
    }
    fields.number(tag_seen, now);
    Session session(fields.take());
    session.read();
    session.ticket_ = ticket_;
    return session;
}

Held Session::open(
    CookieLines cookies, const Provider& provider, std::int64_t now)
{
    constexpr int most_tries = 4;
    const auto& name = provider.client().cookie_name;
    Held held;
    int tries = 0;

    // A cookie of that name that somebody planted on a parent domain or path
    // may come first: the one of ours is the one that opens.
    each_cookie(cookies, [&](std::string_view its_name, std::string_view head) {
        if (its_name != name) {
            return false;
        }
        if (auto value = join_chunks(cookies, name, head)) {
            held = open_value(*value, provider, now);
        }
        return held.session || held.ticket || ++tries == most_tries;
    });
    return held;
}

Held Session::open_value(
    std::string_view value, const Provider& provider, std::int64_t now)
{
    auto sealed = base64url_decode(value);
    if (!sealed) {
        return {};
    }
    auto opened =
        provider.session_ring().open(*sealed, provider.session_binding());
    if (!opened) {
        return {};
    }
    if (auto ticket = Ticket::read(opened->plain)) {
        return {{}, std::move(ticket)};
    }
    return {
        open_fields(std::move(opened->plain), {}, provider.client(), now), {}};
}

std::optional<Session> Session::open_stored(const Ticket& ticket,
    std::string_view blob, const Provider& provider, std::int64_t now)
{
    auto plain = ticket.open(blob, provider.session_binding());
    if (!plain) {
        return {};
    }
    return open_fields(std::move(*plain), ticket, provider.client(), now);
}

std::optional<Session> Session::open_fields(std::string fields,
    std::optional<Ticket> ticket, const Client& client, std::int64_t now)
{
    Session session(std::move(fields));
    session.ticket_ = std::move(ticket);
    if (!session.read() || session.expires_ <= now ||
        session.has_outlived(client, now) || session.has_idled(client, now) ||
        !session.serves(client)) {
        return {};
    }
    return session;
}

Result<Session::Kept> Session::keep(const Provider& provider, std::size_t most,
    std::int64_t now, Random random) const
{
    const auto& client = provider.client();
    auto seal = [&](std::string_view plain) {
        return base64url(provider.session_ring().seal(
            plain, provider.session_binding(), random));
    };
    most = std::min(most,
        size_in_request(cookie_chunk * most_chunks - 1, client.cookie_name));

    if (!ticket_ && client.session_store != SessionStore::named) {
        auto value = seal(fields_);
        auto size = size_in_request(value.size(), client.cookie_name);
        auto stays = client.session_store == SessionStore::automatic ?
            std::min(most, most_by_itself) :
            most;
        if (size <= stays) {
            return Kept{std::move(value), {}};
        }
        if (client.session_store == SessionStore::cookie) {
            return Error{Errc::session_too_large,
                "session needs " + std::to_string(size) +
                    " bytes of cookies, of which large_client_header_buffers "
                    "or nine cookies leave " +
                    std::to_string(most)};
        }
    }
    auto ticket = ticket_ ? *ticket_ : Ticket::make(marks(client), random);
    auto idle_end = now + client.session_idle_timeout;
    auto until = client.session_idle_timeout > 0 ?
        std::min(expires_, idle_end) :
        expires_;
    return Kept{seal(ticket.fields()),
        Save{ticket.key(),
            ticket.seal(fields_, provider.session_binding(), random), until,
            sid() ? revocation_key(client, "sid", *sid()) : "", expires_}};
}

bool Session::read()
{
    FieldReader fields(fields_);
    while (auto field = fields.next()) {
        switch (field->tag) {
        case tag_started:
            started_ = field->number();
            break;
        case tag_expires:
            expires_ = field->number();
            break;
        case tag_renewed:
            renewed_ = field->number();
            break;
        case tag_seen:
            seen_ = field->number();
            break;
        case tag_auth_time:
            auth_time_ = field->number();
            break;
        case tag_access_expires:
            access_expires_ = field->number();
            break;
        }
    }
    return fields.complete();
}

// A timeout that has become shorter holds for old sessions, too: revocations
// are not kept any longer.
bool Session::has_outlived(const Client& client, std::int64_t now) const
{
    return renewed_ > 0 && now >= renewed_ + client.session_timeout;
}

// In a store its time to live tells; a session of before there was such a
// timeout begins to idle now.
bool Session::has_idled(const Client& client, std::int64_t now) const
{
    return client.session_idle_timeout > 0 && seen_ > 0 && !ticket_ &&
        now >= seen_ + client.session_idle_timeout;
}

bool Session::wants_seal(const Client& client, std::int64_t now) const
{
    constexpr std::int64_t parts = 20;
    auto step = std::max<std::int64_t>(client.session_idle_timeout / parts, 1);
    return client.session_idle_timeout > 0 && !ticket_ && now >= seen_ + step;
}

// Ahead of its end, but a short-lived token's first half is its own.
bool Session::wants_refresh(const Client& client, std::int64_t now) const
{
    if (client.token_refresh == 0 || access_expires_ == 0) {
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
    if (find(tag_needs) == client.needs_mark) {
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
    FieldReader fields(fields_);
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

std::vector<std::string> Session::marks(const Client& client) const
{
    auto sub = claim("sub").value_or("");
    std::vector<std::string> marks{revocation_key(client, "session", id()),
        revocation_key(client, "sub", sub)};
    marks.push_back(sid() ? revocation_key(client, "sid", *sid()) :
                            revocation_key(client, "sub without sid", sub));
    return marks;
}

std::string Session::generation() const
{
    return digest(Hash::sha256,
        bind_fields({"generation", id(), std::to_string(renewed_),
            refresh_token().value_or("")}))
        .substr(0, id_size);
}

std::optional<std::string_view> Session::claim(std::string_view name) const
{
    FieldReader fields(fields_);
    while (auto field = fields.next()) {
        if (field->tag == tag_claim && !field->bytes.empty() &&
            name_of_claim(field->bytes) == name) {
            return field->bytes.substr(1 + name.size());
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
    FieldReader fields(fields_);
    while (auto field = fields.next()) {
        if (field->tag == tag) {
            return field->bytes;
        }
    }
    return {};
}

}
