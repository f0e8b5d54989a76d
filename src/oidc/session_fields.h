// The format of a session: the tagged fields that its seal covers.
#pragma once

#include "core/time.h"

#include <optional>
#include <string_view>

namespace oidc {

// Version 2 distinguishes the claims of the ID token from those of user info.
// In version 1 all claims have tag_claim and are taken for the ID token's.
constexpr char session_version = 2;

enum SessionTag : unsigned char {
    tag_id = 1,
    tag_needs,
    tag_expires,
    tag_auth_time,
    tag_access_expires,
    tag_claim, // of the ID token: size of the name (1 byte), name, text
    tag_id_token,
    tag_access_token,
    tag_absent_claim, // the name of a needed claim that neither source had
    tag_all_claims,   // a claim without a field was in neither source
    tag_userinfo,
    tag_started,
    tag_renewed,
    tag_seen,
    tag_refresh_token,
    tag_sid,
    tag_userinfo_claim, // of user info; like tag_claim
    tag_shared_claim,   // the same text in both
    tag_moved,          // the sid is not that of the login
    tag_owing,          // user info was not requested at the last renewal
};

// The first field with this tag, a view into `fields`.
std::optional<std::string_view> find_field(
    std::string_view fields, SessionTag tag);

// A time is the epoch where its field is missing.
struct SessionTimes {
    TimeMs started;  // when the callback arrived
    Time sealed_end; // by the configuration of that moment
    Time renewed;    // when the tokens came
    Time seen;
    Time auth_time;
    Time access_expires;
};

// Nothing for bytes that are not the fields of a session to their end.
std::optional<SessionTimes> read_times(std::string_view fields);

}
