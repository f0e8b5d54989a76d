// oidc_limit: how much of the work that anybody can cause one client may.
#pragma once

#include "core/bucket.h"
#include "flow/step.h"
#include "ngx/ngx.h"
#include "ngx/zone.h"

#include <optional>
#include <string>

namespace ngx {

// What the directive says; as it stands, what goes without one.
struct Limit {
    static constexpr std::int64_t minute = 60'000'000; // microseconds

    bool is_on = true;
    oidc::Rate login{200, minute};
    oidc::Rate logout{60, minute};
    ngx_http_complex_value_t* key = nullptr; // null: the client's address

    oidc::Rate rate(oidc::Work work) const
    {
        return work == oidc::Work::logout ? logout : login;
    }
};

char* set_limit(ngx_conf_t* cf, ngx_command_t* command, void* conf);

// The tokens that a request takes and gives back, by the oidc_limit of where it
// is.
class Purse {
public:
    Purse(ngx_http_request_t* r, Zone& zone) : r_(r), zone_(zone) {}

    // A receipt, empty where there is no limit; nothing where no token is left.
    std::optional<std::string> take(oidc::Work work);
    void give_back(std::string_view receipt);

private:
    std::optional<std::string> bucket_of(const Limit& limit, oidc::Work work);

    ngx_http_request_t* r_;
    Zone& zone_;
};

}
