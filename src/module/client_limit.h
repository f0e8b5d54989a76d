// Charges a request's client for what it causes, and refunds it, by the
// oidc_limit of the request's location.
#pragma once

#include "conf/limit.h"
#include "flow/step.h"
#include "ngx/ngx.h"
#include "store/zone.h"

#include <optional>
#include <string>

namespace ngx {

class ClientLimit {
public:
    ClientLimit(ngx_http_request_t* r, Zone& zone) : r_(r), zone_(zone) {}

    // A receipt, empty where there is no limit; nothing where the limit is
    // reached.
    std::optional<std::string> charge(oidc::Work work);
    void refund(std::string_view receipt);

private:
    std::optional<std::string> bucket_of(const Limit& limit, oidc::Work work);

    ngx_http_request_t* r_;
    Zone& zone_;
};

}
