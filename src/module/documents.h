// A part of a provider, its metadata or its key set, as this worker knows it
// and as all workers share it; and the requests that wait for it.
#pragma once

#include "core/http.h"
#include "core/result.h"
#include "flow/step.h"
#include "ngx/ngx.h"
#include "oidc/provider.h"
#include "store/zone.h"

#include <list>
#include <optional>
#include <string>

namespace ngx {

class Driver;
class Inquiry;
struct ProviderConf;

class Lookup {
public:
    Lookup(ProviderConf& conf, oidc::Part part) : conf_(conf), part_(part) {}

    // What there is to know at once, after a question has been sent to the
    // provider where one is due. Nothing: somebody's answer is to be waited
    // for. With `anew` only what came after count() was `known` will do.
    std::optional<oidc::Check> consult(
        ngx_http_request_t* r, const oidc::Learn& step, ngx_uint_t known);

    // How many documents this worker has taken in.
    ngx_uint_t count() const { return count_; }

    // A request of this worker asks, and its answer wakes the waiting; else
    // another worker's may.
    bool is_asking() const { return inquiry_ != nullptr; }

    std::list<Driver*> waiting;

private:
    friend class Inquiry;

    std::string id() const;
    void adopt(const Zone::Snapshot& sight);
    Zone::Fetcher ask(ngx_http_request_t* r, const std::string& id,
        std::optional<oidc::Asker> anew);
    oidc::Check learn(const std::string& id,
        oidc::Result<oidc::HttpResponse> response, ngx_log_t* log);
    oidc::Check take(
        const std::string& id, oidc::Result<oidc::HttpResponse> response);
    void wake(const oidc::Check* learnt);

    ProviderConf& conf_;
    oidc::Part part_;
    Inquiry* inquiry_ = nullptr;
    ngx_uint_t serial_ = 0; // of the zone's document that this worker has
    ngx_uint_t count_ = 0;
    std::optional<oidc::Error> unfit_; // why that one cannot be used
};

}
