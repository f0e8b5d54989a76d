#include "module/client_limit.h"

#include "conf/conf.h"
#include "core/crypto.h"
#include "core/text.h"
#include "module/request.h"

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

// A receipt is the name of the bucket, and the cost of the charge.
std::optional<std::string> ClientLimit::charge(oidc::Work work)
{
    const auto& limit = *conf_of<LocationConf>(r_).limit;
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
    auto cost = oidc::parse_number<std::int64_t>(receipt);
    if (cost > 0) {
        zone_.refund_token(bucket, Microseconds(*cost));
    }
}

// A bucket has one rate. Nothing for a client without a key, such as one of a
// Unix socket: it has no limit.
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
