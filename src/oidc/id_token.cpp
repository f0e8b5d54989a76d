#include "oidc/id_token.h"

#include "core/encoding.h"
#include "oidc/errors.h"
#include "oidc/token_rules.h"

namespace oidc {
namespace {

constexpr TokenCodes codes{
    {"id token", Errc::id_token_malformed, Errc::id_token_alg,
        Errc::id_token_crit, Errc::id_token_key, Errc::id_token_signature},
    Errc::id_token_encryption, Errc::id_token_issuer, Errc::id_token_audience,
    Errc::id_token_expired, Errc::id_token_not_yet_valid,
    Errc::id_token_issued_at};

class IdTokenRules : public TokenRules {
public:
    IdTokenRules(const SignedToken& token, const LoginExpectation& login) :
        TokenRules(codes, token, login.client, login.now),
        access_token_(login.access_token), nonce_(login.nonce)
    {
    }

    IdTokenRules(const SignedToken& token, const RefreshExpectation& refresh) :
        TokenRules(codes, token, refresh.client, refresh.now),
        access_token_(refresh.access_token), session_subject_(refresh.subject)
    {
    }

    Check is_no_logout_token() const;
    Check subject() const;
    Check azp() const;
    Check nonce() const;
    Check at_hash() const;
    Check same_subject() const;

private:
    std::string_view access_token_;
    std::string_view nonce_;           // of a login alone
    std::string_view session_subject_; // of a refresh alone
};

struct Row {
    Check (IdTokenRules::*rule)() const;
    bool at_login;
    bool at_refresh;
};

// In this order. The first failure is reported.
constexpr Row rules[] = {
    {&IdTokenRules::issuer, true, true},
    {&IdTokenRules::audience, true, true},
    {&IdTokenRules::other_audiences, true, true},
    {&IdTokenRules::expiry, true, true},
    {&IdTokenRules::not_before, true, true},
    {&IdTokenRules::issued_at, true, true},
    {&IdTokenRules::is_no_logout_token, true, true},
    {&IdTokenRules::subject, true, true},
    {&IdTokenRules::azp, true, true},
    {&IdTokenRules::nonce, true, false},
    {&IdTokenRules::at_hash, true, true},
    {&IdTokenRules::same_subject, false, true},
};

template <class Expectation>
Result<SignedToken> verify(std::string_view compact,
    const Expectation& expected, bool Row::*is_checked)
{
    auto token = open_token(codes, compact, expected.client, expected.keys);
    if (!token) {
        return token;
    }
    IdTokenRules checker(*token, expected);
    for (const auto& row : rules) {
        if (!(row.*is_checked)) {
            continue;
        }
        if (auto checked = (checker.*row.rule)(); !checked) {
            return std::move(checked).error();
        }
    }
    return token;
}

// RFC 8725, 3.12: a logout token has the same issuer and the same audience, and
// at a refresh no nonce tells it apart.
Check IdTokenRules::is_no_logout_token() const
{
    if (jws().typ() == logout_type || claim("events").mentions(logout_event)) {
        return Error{Errc::id_token_malformed, "id token is a logout token"};
    }
    return Ok{};
}

Check IdTokenRules::subject() const
{
    if (!is_identifier(claim("sub").string())) {
        return Error{Errc::id_token_subject,
            "id token has no sub of 1 to 255 ASCII characters"};
    }
    return Ok{};
}

// 3.1.3.7, 4 and 5
Check IdTokenRules::azp() const
{
    auto azp = claim("azp");
    if (azp.exists() && azp.string() != client().client_id) {
        return Error{Errc::id_token_azp,
            "id token was issued to another party, azp " + quoted(azp.dump())};
    }
    return Ok{};
}

// 3.1.3.7, 11
Check IdTokenRules::nonce() const
{
    auto nonce = claim("nonce").string();
    if (!nonce || !equal(*nonce, nonce_)) {
        return Error{Errc::id_token_nonce,
            nonce ? "id token has the nonce of another login" :
                    "id token has no nonce"};
    }
    return Ok{};
}

// 3.1.3.8: the left half of the access token's hash, by the hash of the
// signature's algorithm. Optional in the code flow; checked when present.
Check IdTokenRules::at_hash() const
{
    auto at_hash = claim("at_hash");
    if (!at_hash.exists()) {
        return Ok{};
    }
    auto whole = digest(jws().algorithm().hash, access_token_);
    auto half = base64url(whole.substr(0, whole.size() / 2));
    if (!at_hash.string() || !equal(*at_hash.string(), half)) {
        return Error{Errc::id_token_at_hash,
            "id token does not belong to the access token, at_hash differs"};
    }
    return Ok{};
}

// 12.2
Check IdTokenRules::same_subject() const
{
    if (claim("sub").string() != session_subject_) {
        return Error{Errc::id_token_subject,
            "id token has a different sub than the session"};
    }
    return Ok{};
}

}

Result<IdToken> IdToken::make(SignedToken token)
{
    return IdToken(std::move(token.compact), std::move(token.claims));
}

Result<IdToken> IdToken::verify_login(
    std::string_view compact, const LoginExpectation& expected)
{
    return verify(compact, expected, &Row::at_login).and_then(make);
}

Result<IdToken> IdToken::verify_refresh(
    std::string_view compact, const RefreshExpectation& expected)
{
    return verify(compact, expected, &Row::at_refresh).and_then(make);
}

}
