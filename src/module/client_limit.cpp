#include "module/client_limit.h"

#include "conf/conf.h"
#include "core/crypto.h"
#include "module/request.h"

#include <charconv>

namespace ngx {
namespace {

const char* name_of(oidc::Work work)
{
    switch (work) {
    case oidc::Work::login:
        return "login";
    case oidc::Work::push:
        return "push";
    default:
        return "logout";
    }
}

}

// The bucket's name, and what the token costs there.
std::optional<std::string> ClientLimit::take(oidc::Work work)
{
    const auto& limit = *location_conf(r_)->limit;
    auto bucket = bucket_of(limit, work);
    if (!bucket) {
        return "";
    }
    auto rate = limit.rate(work);
    return zone_.take_token(*bucket, rate, now_ms()) ?
        std::optional(*bucket + std::to_string(rate.cost().count())) :
        std::nullopt;
}

void ClientLimit::refund(std::string_view receipt)
{
    auto bucket = receipt.substr(0, Zone::key_size);
    receipt.remove_prefix(bucket.size());
    std::int64_t cost = 0;
    std::from_chars(receipt.data(), receipt.data() + receipt.size(), cost);
    if (cost > 0) {
        zone_.refund_token(bucket, Microseconds(cost));
    }
}

// A bucket is for one rate alone. Nothing for who has no key: no limit is meant
// for that client, as a Unix socket's has none.
std::optional<std::string> ClientLimit::bucket_of(
    const Limit& limit, oidc::Work work)
{
    if (!limit.is_on) {
        return {};
    }
    auto client =
        limit.key != nullptr ? evaluate(r_, limit.key) : address_of(r_);
    if (client.empty()) {
        return {};
    }
    auto rate = limit.rate(work);
    return oidc::digest(oidc::Hash::sha256,
        oidc::bind_fields({name_of(work), std::to_string(rate.count),
            std::to_string(rate.period.count()),
            limit.key != nullptr ? "key" : "address", client}))
        .substr(0, Zone::key_size);
}

}
