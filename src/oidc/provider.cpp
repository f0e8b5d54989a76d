#include "oidc/provider.h"

#include <algorithm>

namespace oidc {
namespace {

constexpr std::int64_t shortest_life = 60;
constexpr std::int64_t longest_life = 24 * 3600;
constexpr std::int64_t usual_life = 3600;
constexpr std::int64_t extension = 30;

constexpr std::int64_t most_renewals = 4;
constexpr std::int64_t renewal_interval = 15;

constexpr std::size_t keys_limit = 1024 * 1024;

std::int64_t fresh_until(const HttpResponse& response, std::int64_t now)
{
    return now +
        cache_lifetime(
            response.cache_control, shortest_life, longest_life, usual_life);
}

}

void Provider::configure(Client client, std::span<const Secret> masters)
{
    client_ = std::move(client);
    session_ring_ = KeyRing(masters, "session");
    state_ring_ = KeyRing(masters, "state");
    session_binding_ = binding(client_, "session");
    state_binding_ = binding(client_, "state");
}

const Metadata* Provider::metadata(std::int64_t now) const
{
    return metadata_ && now < metadata_until_ ? &*metadata_ : nullptr;
}

const KeySet* Provider::keys(std::int64_t now) const
{
    return keys_ && now < keys_until_ ? &*keys_ : nullptr;
}

bool Provider::knows(Part part, std::int64_t now) const
{
    return part == Part::metadata ? metadata(now) != nullptr :
                                    keys(now) != nullptr;
}

HttpRequest Provider::request(Part part) const
{
    if (part == Part::metadata) {
        return metadata_request(client_);
    }
    return {metadata_->jwks_uri, "", "", keys_limit};
}

Check Provider::learn(
    Part part, Result<HttpResponse> response, std::int64_t now)
{
    if (!response) {
        return keep_known(part, std::move(response).error(), now);
    }
    auto learnt = part == Part::metadata ? learn_metadata(*response, now) :
                                           learn_keys(*response, now);
    if (!learnt) {
        return keep_known(part, std::move(learnt).error(), now);
    }
    return Ok{};
}

Check Provider::learn_metadata(const HttpResponse& response, std::int64_t now)
{
    auto metadata = parse_metadata(response, client_);
    if (!metadata) {
        return std::move(metadata).error();
    }
    if (metadata_ && metadata_->jwks_uri != metadata->jwks_uri) {
        keys_.reset();
    }
    metadata_ = std::move(*metadata);
    metadata_until_ = fresh_until(response, now);
    return Ok{};
}

Check Provider::learn_keys(const HttpResponse& response, std::int64_t now)
{
    if (auto reason = refuse_document(response); !reason.empty()) {
        return Error{Errc::upstream_status, "provider " + reason};
    }
    auto keys = KeySet::parse(response.body);
    if (!keys) {
        return std::move(keys).error();
    }
    keys_ = std::move(*keys);
    keys_until_ = fresh_until(response, now);
    return Ok{};
}

Check Provider::keep_known(Part part, Error error, std::int64_t now)
{
    if (part == Part::metadata && metadata_) {
        metadata_until_ = now + extension;
    }
    if (part == Part::keys && keys_) {
        keys_until_ = now + extension;
    }
    return error;
}

bool Provider::may_renew_keys(std::int64_t now)
{
    auto refilled = (now - renewals_since_) / renewal_interval;
    if (refilled > 0) {
        renewals_ = std::max<std::int64_t>(0, renewals_ - refilled);
        renewals_since_ += refilled * renewal_interval;
    }
    if (renewals_ >= most_renewals) {
        return false;
    }
    renewals_++;
    return true;
}

}
