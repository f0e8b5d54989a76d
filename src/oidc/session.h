// A session: what is left of a login once it is verified, sealed into the
// browser's cookie. Only a verified IdToken begins one and only our own seal
// brings one back, so to hold a Session is to know the user.
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "oidc/id_token.h"
#include "oidc/provider.h"
#include "oidc/token.h"
#include "oidc/userinfo.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

class Session {
public:
    // Keeps only what the client's Needs name.
    static Session begin(const IdToken& token,
        const std::optional<UserInfo>& userinfo, const Tokens& tokens,
        const Client& client, std::int64_t now, Random random);

    // Of the request's cookies; nothing for none, a tampered, foreign or ended
    // one, and one that lacks what the configuration uses by now.
    static std::optional<Session> open(
        CookieLines cookies, const Provider& provider, std::int64_t now);

    // The Set-Cookie values; session_too_large beyond `most` bytes of cookies.
    Result<std::vector<std::string>> seal(const Provider& provider,
        CookieLines cookies, bool secure, std::size_t most,
        Random random) const;

    // A public handle for logs, not a secret.
    std::string handle() const;

    std::int64_t expires() const { return expires_; }
    std::int64_t auth_time() const { return auth_time_; } // 0: not told
    std::int64_t access_token_expires() const { return access_expires_; }

    // In all of these a view into this session; nothing when it is not kept.
    std::optional<std::string_view> claim(std::string_view name) const;
    std::optional<std::string_view> id_token() const;
    std::optional<std::string_view> access_token() const;
    std::optional<std::string_view> userinfo() const; // JSON

private:
    explicit Session(std::string fields) : fields_(std::move(fields)) {}

    static std::optional<Session> open_value(
        std::string_view value, const Provider& provider, std::int64_t now);

    bool read();
    bool serves(const Client& client) const;
    bool knows_of(std::string_view claim_name) const;
    std::optional<std::string_view> find(unsigned char tag) const;

    std::string fields_;
    std::int64_t expires_ = 0;
    std::int64_t auth_time_ = 0;
    std::int64_t access_expires_ = 0;
};

// Identifies a set of needs in few bytes; a session names the one it serves.
std::string mark_of(const Needs& needs);

}
