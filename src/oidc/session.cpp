#include "oidc/session.h"

#include "core/encode.h"
#include "core/fields.h"
#include "oidc/claims.h"

#include <algorithm>
#include <map>

namespace oidc {
namespace {

constexpr std::size_t id_size = 16;
constexpr std::size_t mark_size = 8;

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
};

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

ClaimTexts texts_of(
    const IdToken& token, const std::optional<UserInfo>& userinfo)
{
    ClaimTexts texts;
    for (auto source :
        {token.claims(), userinfo ? userinfo->claims() : JsonValue()}) {
        for (const auto& [name, value] : claims_by_name(source)) {
            if (auto text = claim_text(value)) {
                texts.emplace(name, std::move(*text));
            }
        }
    }
    return texts;
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
        if (!std::binary_search(
                needs.claims.begin(), needs.claims.end(), name)) {
            write_claim(fields, name, text);
        }
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
        needs.userinfo ? "userinfo" : ""});
    for (const auto& name : needs.claims) {
        list += bind_fields({name});
    }
    return digest(Hash::sha256, list).substr(0, mark_size);
}

Session Session::begin(const IdToken& token,
    const std::optional<UserInfo>& userinfo, const Tokens& tokens,
    const Client& client, std::int64_t now, Random random)
{
    FieldWriter fields;
    fields.text(tag_id, random(id_size));
    fields.text(tag_needs, client.needs_mark);
    fields.number(tag_expires, now + client.session_timeout);
    if (auto auth_time = token.auth_time()) {
        fields.number(tag_auth_time, *auth_time);
    }
    write_claims(fields, texts_of(token, userinfo), client.needs);
    if (client.needs.id_token) {
        fields.text(tag_id_token, token.compact());
    }
    if (client.needs.access_token) {
        fields.text(tag_access_token, tokens.access_token);
    }
    if (client.needs.userinfo && userinfo) {
        fields.text(tag_userinfo, userinfo->claims().dump());
    }
    if (tokens.expires_in > 0) {
        fields.number(tag_access_expires, now + tokens.expires_in);
    }
    Session session(fields.take());
    session.read();
    return session;
}

std::optional<Session> Session::open(
    CookieLines cookies, const Provider& provider, std::int64_t now)
{
    constexpr int most_tries = 4;
    const auto& name = provider.client().cookie_name;
    std::optional<Session> session;
    int tries = 0;

    // A cookie of that name that somebody planted on a parent domain or path
    // may come first: the one of ours is the one that opens.
    each_cookie(cookies, [&](std::string_view its_name, std::string_view head) {
        if (its_name != name) {
            return false;
        }
        if (auto value = join_chunks(cookies, name, head)) {
            session = open_value(*value, provider, now);
        }
        return session.has_value() || ++tries == most_tries;
    });
    return session;
}

std::optional<Session> Session::open_value(
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
    Session session(std::move(opened->plain));
    if (!session.read() || session.expires_ <= now ||
        !session.serves(provider.client())) {
        return {};
    }
    return session;
}

Result<std::vector<std::string>> Session::seal(const Provider& provider,
    CookieLines cookies, bool secure, std::size_t most, Random random) const
{
    const auto& client = provider.client();
    auto value = base64url(provider.session_ring().seal(
        fields_, provider.session_binding(), random));
    auto size = size_in_request(value.size(), client.cookie_name);
    most = std::min(most,
        size_in_request(cookie_chunk * most_chunks - 1, client.cookie_name));

    if (size > most) {
        return Error{Errc::session_too_large,
            "session needs " + std::to_string(size) +
                " bytes of cookies, of which large_client_header_buffers or "
                "nine cookies leave " +
                std::to_string(most)};
    }
    return set_chunks(session_scope(client, secure), value, cookies);
}

bool Session::read()
{
    FieldReader fields(fields_);
    while (auto field = fields.next()) {
        switch (field->tag) {
        case tag_expires:
            expires_ = field->number();
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

std::string Session::handle() const
{
    return base64url(find(tag_id).value_or(""));
}

std::optional<std::string_view> Session::claim(std::string_view name) const
{
    FieldReader fields(fields_);
    while (auto field = fields.next()) {
        auto bytes = field->bytes;
        if (field->tag != tag_claim || bytes.empty()) {
            continue;
        }
        auto size = static_cast<unsigned char>(bytes.front());
        if (bytes.substr(1, size) == name) {
            return bytes.substr(1 + name.size());
        }
    }
    return {};
}

std::optional<std::string_view> Session::id_token() const
{
    return find(tag_id_token);
}

std::optional<std::string_view> Session::access_token() const
{
    return find(tag_access_token);
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
