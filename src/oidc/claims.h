// Claims as text: what $oidc_claim_* shows of a JSON value.
#pragma once

#include "core/json.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace oidc {

// Claims by their names in lower case, as nginx keeps the names of variables:
// the member of exactly that name, else the only one that differs in nothing
// but case.
using ClaimsByName = std::map<std::string, JsonValue, std::less<>>;

ClaimsByName claims_by_name(JsonValue claims);

// The value at the end of a claim_path(); absent where a name on the way is not
// a member of an object.
JsonValue claim_at(JsonValue claims, std::string_view path);

// Strings as they are, numbers and booleans as written, arrays of scalars
// joined by commas, each a list_member(), anything else as JSON. A comma in a
// list or in JSON is never part of a value: a search for ",admin," finds that
// member and no part of another. Nothing for null, for a string or JSON with
// control characters, which must not reach a header, and for a number that is
// rounded.
std::optional<std::string> claim_text(JsonValue value);

}
