#include "oidc/document.h"

#include "oidc/errors.h"

namespace oidc {
namespace {

constexpr Seconds min_life = 60s;
constexpr Seconds max_life = 24h;
constexpr Seconds default_life = 1h;

constexpr std::size_t keys_limit = 1024 * 1024;

// RFC 7517, 8.5.2. Most providers send plain JSON.
constexpr std::string_view keys_types =
    "application/jwk-set+json, application/json";

}

HttpRequest keys_request(const Metadata& metadata)
{
    return {metadata.jwks_uri, "", "", keys_limit, keys_types};
}

Result<KeySet> parse_keys(std::string_view body)
{
    std::string why;
    auto keys = KeySet::parse(body, why);
    if (!keys) {
        return Error{Errc::upstream_keys, "provider sent " + why};
    }
    return std::move(*keys);
}

Result<FetchedDocument> read_document(const HttpResponse& response, Time now)
{
    if (auto reason = refuse_document(response); !reason.empty()) {
        return Error{Errc::upstream_status, "provider " + reason};
    }
    auto life = cache_lifetime(
        response.cache_control, min_life, max_life, default_life);
    return FetchedDocument{response.body, now + life};
}

}
