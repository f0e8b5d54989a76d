#include "oidc/provider.h"

#include "oidc/cookies.h"

namespace oidc {
namespace {

constexpr Seconds shortest_life = 60s;
constexpr Seconds max_life = 24h;
constexpr Seconds default_life = 1h;

constexpr std::size_t keys_limit = 1024 * 1024;

std::size_t index(Part part)
{
    return static_cast<std::size_t>(part);
}

}

void Provider::configure(Client client, std::span<const Secret> masters)
{
    client_ = std::move(client);
    session_ring_ = KeyRing(masters, "session");
    state_ring_ = KeyRing(masters, "state");
    session_seal_context_ = seal_context(client_, "session");
    state_seal_context_ = seal_context(client_, "state");
    secure_cookie_ = session_cookie_name(client_, true);
    plain_cookie_ = session_cookie_name(client_, false);

    metadata_ = configured_metadata(client_);
    is_configured_ = metadata_.has_value();
    usable_until_[index(Part::metadata)] =
        is_configured_ ? Time::max() : Time();
}

const Metadata* Provider::metadata(Time now) const
{
    return knows(Part::metadata, now) ? &*metadata_ : nullptr;
}

const KeySet* Provider::keys(Time now) const
{
    return knows(Part::keys, now) ? &*keys_ : nullptr;
}

bool Provider::knows(Part part, Time now) const
{
    auto is_there =
        part == Part::metadata ? metadata_.has_value() : keys_.has_value();
    return is_there && now < usable_until_[index(part)];
}

bool Provider::is_configured(Part part) const
{
    return part == Part::metadata && is_configured_;
}

HttpRequest Provider::request(Part part) const
{
    if (part == Part::metadata) {
        return metadata_request(client_);
    }
    return {metadata_->jwks_uri, "", "", keys_limit};
}

Result<Provider::Document> Provider::judge(
    const HttpResponse& response, Time now)
{
    if (auto reason = refuse_document(response); !reason.empty()) {
        return Error{Errc::upstream_status, "provider " + reason};
    }
    auto life = cache_lifetime(
        response.cache_control, shortest_life, max_life, default_life);
    return Document{response.body, now + life};
}

Check Provider::adopt(Part part, std::string_view body, Time usable_until)
{
    auto adopted =
        part == Part::metadata ? adopt_metadata(body) : adopt_keys(body);
    if (adopted) {
        prolong(part, usable_until);
    }
    return adopted;
}

void Provider::prolong(Part part, Time usable_until)
{
    usable_until_[index(part)] = usable_until;
}

Check Provider::adopt_metadata(std::string_view body)
{
    auto metadata = parse_metadata(body, client_);
    if (!metadata) {
        return std::move(metadata).error();
    }
    if (metadata_ && metadata_->jwks_uri != metadata->jwks_uri) {
        keys_.reset();
    }
    metadata_ = std::move(*metadata);
    return Ok{};
}

Check Provider::adopt_keys(std::string_view body)
{
    auto keys = KeySet::parse(body);
    if (!keys) {
        return std::move(keys).error();
    }
    keys_ = std::move(*keys);
    return Ok{};
}

}
