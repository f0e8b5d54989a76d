#include "oidc/session_claims.h"

#include "oidc/claims.h"
#include "oidc/session_fields.h"

#include <algorithm>

namespace oidc {
namespace {

std::string_view name_of_claim(std::string_view field)
{
    auto size = field.empty() ? 0 : static_cast<unsigned char>(field.front());
    return field.substr(field.empty() ? 0 : 1, size);
}

std::string_view text_of_claim(std::string_view field)
{
    return field.substr(1 + name_of_claim(field).size());
}

bool is_claim(const FieldReader::Field& field)
{
    return !field.bytes.empty() &&
        (field.tag == tag_claim || field.tag == tag_userinfo_claim ||
            field.tag == tag_shared_claim);
}

void write_claim(FieldWriter& fields, SessionTag tag, std::string_view name,
    const std::string& text)
{
    if (name.size() > max_claim_name) {
        return;
    }
    std::string field(1, static_cast<char>(name.size()));
    field += name;
    field += text;
    fields.text(tag, field);
}

// The claims at the top, and those at the paths that are needed.
ClaimTexts texts_of(JsonValue source, const Needs& needs)
{
    ClaimTexts texts;
    for (const auto& [name, value] : claims_by_name(source)) {
        if (auto text = claim_text(value)) {
            texts.emplace(name, std::move(*text));
        }
    }
    for (const auto& name : needs.claims) {
        auto text = is_claim_path(name) ? claim_text(claim_at(source, name)) :
                                          std::nullopt;
        if (text) {
            texts.emplace(name, std::move(*text));
        }
    }
    return texts;
}

SessionClaims read_claims(std::string_view bytes)
{
    SessionClaims claims;
    FieldReader fields(bytes, session_version);
    while (auto field = fields.next()) {
        if (!is_claim(*field)) {
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

// Facts of the login, and its user.
bool is_of_login(std::string_view claim)
{
    auto name = claim.substr(0, claim.find('\0'));
    constexpr std::string_view names[] = {
        "acr", "amr", "auth_time", "sid", "sub"};
    return std::find(std::begin(names), std::end(names), name) !=
        std::end(names);
}

ClaimTexts refreshed_texts(
    const ClaimTexts& old, const IdToken& token, const Needs& needs)
{
    auto texts = texts_of(token.claims(), needs);
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

// False for a claim that neither source has. The ID token's goes first.
bool write_claim(
    FieldWriter& fields, const SessionClaims& claims, const std::string& name)
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

}

SessionClaims SessionClaims::begin(const IdToken& token,
    const std::optional<UserInfo>& userinfo, const Needs& needs)
{
    return {texts_of(token.claims(), needs),
        userinfo ? texts_of(userinfo->claims(), needs) : ClaimTexts()};
}

SessionClaims SessionClaims::renew(std::string_view old,
    const std::optional<IdToken>& token,
    const std::optional<UserInfo>& userinfo, const Needs& needs)
{
    auto claims = read_claims(old);
    if (token) {
        claims.token = refreshed_texts(claims.token, *token, needs);
    }
    if (userinfo) {
        claims.userinfo = texts_of(userinfo->claims(), needs);
    }
    if (userinfo && !token && old.front() < session_version) {
        // In version 1 they may be claims of the old user info.
        std::erase_if(claims.token,
            [](const auto& claim) { return !is_of_login(claim.first); });
    }
    return claims;
}

void write_claims(
    FieldWriter& fields, const SessionClaims& claims, const Needs& needs)
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
        if (!is_needed(name, needs) && !is_claim_path(name)) {
            write_claim(fields, claims, name);
        }
    }
}

std::optional<std::string_view> find_claim(
    std::string_view fields, std::string_view name)
{
    FieldReader reader(fields, session_version);
    while (auto field = reader.next()) {
        if (is_claim(*field) && name_of_claim(field->bytes) == name) {
            return text_of_claim(field->bytes);
        }
    }
    return {};
}

bool knows_claim(std::string_view fields, std::string_view name)
{
    FieldReader reader(fields, session_version);
    while (auto field = reader.next()) {
        if (field->tag == tag_absent_claim && field->bytes == name) {
            return true;
        }
    }
    return find_claim(fields, name).has_value();
}

}
