#include "core/encoding.h"
#include "fuzz.h"

namespace oidc::test {

FUZZ(base64url)
{
    demand(base64url_decode(base64url(input)) == input, "bytes survive");

    if (auto bytes = base64url_decode(input)) {
        demand(base64url(*bytes) == input, "one text for the same bytes");
    }
}

}
