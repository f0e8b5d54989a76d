#include "module/documents.h"

#include "conf/conf.h"
#include "module/driver.h"
#include "ngx/http_client.h"

#include <stdexcept>

namespace ngx {
namespace {

using oidc::Check;
using oidc::Errc;
using oidc::Error;

const char* name_of(oidc::Part part)
{
    return part == oidc::Part::metadata ? "metadata" : "keys";
}

}

// One question for all who wait. It goes along with the request that was the
// first to need it, whose pool owns it, but not in its way.
class Inquiry {
public:
    Inquiry(Lookup& lookup, std::string id) :
        lookup_(&lookup), id_(std::move(id))
    {
        lookup.inquiry_ = this;
    }

    // The request was torn down: the waiting ask anew, the first of them for
    // the others.
    ~Inquiry() { release(); }

    void release()
    {
        if (lookup_ != nullptr) {
            lookup_->conf_.zone->release(id_);
            end(nullptr);
        }
    }

    void answer(oidc::Result<oidc::HttpResponse> response, ngx_log_t* log)
    {
        auto learnt = lookup_->learn(id_, std::move(response), log);
        end(&learnt);
    }

private:
    void end(const Check* learnt)
    {
        auto lookup = std::exchange(lookup_, nullptr);
        lookup->inquiry_ = nullptr;
        lookup->wake(learnt);
    }

    Lookup* lookup_; // null once it has ended
    std::string id_;
};

std::optional<Check> Lookup::consult(
    ngx_http_request_t* r, const oidc::Learn& step, ngx_uint_t known)
{
    const auto& provider = conf_.provider;
    if (provider.is_configured(part_)) {
        return Check(oidc::Ok{});
    }
    auto now = ngx::now();
    auto id = this->id();
    auto sight = conf_.zone->read(id, serial_, now);
    adopt(sight);

    if (!step.anew && provider.knows(part_, now)) {
        if (sight.schedule.due(now) && !sight.is_fetching && !is_asking() &&
            ask(r, id, {}) == Zone::Fetcher::ours) {
            // The client's next request need not wait for that answer.
            r->keepalive = 0;
        }
        return Check(oidc::Ok{});
    }
    if (step.anew && count_ != known) {
        return Check(oidc::Ok{});
    }
    auto is_for_newer = step.anew || unfit_.has_value();
    auto anew = is_for_newer ? std::optional(step.asker) : std::nullopt;
    if (is_asking() || ask(r, id, anew) != Zone::Fetcher::too_soon) {
        return {};
    }
    if (unfit_) {
        return Check(*unfit_);
    }
    return Check(sight.failure.value_or(Error{Errc::upstream_unreachable,
        "provider failed recently and is not retried yet"}));
}

// Of what is asked for where; it changes with the configuration.
std::string Lookup::id() const
{
    return oidc::digest(oidc::Hash::sha256,
        oidc::bind_fields({name_of(part_), conf_.name,
            conf_.provider.client().issuer, conf_.provider.request(part_).url}))
        .substr(0, Zone::document_id_size);
}

// What another worker has received since.
void Lookup::adopt(const Zone::Snapshot& sight)
{
    if (sight.serial == 0) {
        return;
    }
    auto usable_until = sight.schedule.usable_until();
    if (sight.serial == serial_) {
        if (!unfit_) {
            conf_.provider.prolong(part_, usable_until);
        }
        return;
    }
    serial_ = sight.serial;
    unfit_.reset();
    auto adopted = conf_.provider.adopt(part_, sight.body, usable_until);
    if (adopted) {
        count_++;
    } else {
        unfit_ = std::move(adopted).error();
    }
}

Zone::Fetcher Lookup::ask(ngx_http_request_t* r, const std::string& id,
    std::optional<oidc::Asker> anew)
{
    auto now = ngx::now();
    auto patience = std::chrono::floor<Seconds>(
        Milliseconds(conf_.upstream_server.total_timeout()) + 2s);
    auto asking = conf_.zone->begin_fetch(id, anew, now, now + patience);
    if (asking != Zone::Fetcher::ours) {
        return asking;
    }
    auto inquiry = make<Inquiry>(r->pool, *this, id);
    auto rc = fetch(r, conf_.upstream_server, conf_.provider.request(part_),
        Exchange::Manner::background,
        [inquiry, r](oidc::Result<oidc::HttpResponse> response) {
            inquiry->answer(std::move(response), r->connection->log);
        });
    if (rc != NGX_OK) {
        inquiry->release();
        throw std::runtime_error("could not start a subrequest");
    }
    return asking;
}

Check Lookup::learn(const std::string& id,
    oidc::Result<oidc::HttpResponse> response, ngx_log_t* log)
{
    auto now = ngx::now();
    auto learnt = take(id, std::move(response));
    if (!learnt) {
        conf_.zone->fail(id, learnt.error(), now);
        // What was known serves on, and no flow will complain.
        if (conf_.provider.knows(part_, now)) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                "oidc: %s while updating %s, provider \"%s\"",
                learnt.error().detail.c_str(), name_of(part_),
                conf_.name.c_str());
        }
    }
    return learnt;
}

Check Lookup::take(
    const std::string& id, oidc::Result<oidc::HttpResponse> response)
{
    if (!response) {
        return std::move(response).error();
    }
    auto document = oidc::Provider::judge(*response, now());
    if (!document) {
        return std::move(document).error();
    }
    oidc::Schedule schedule;
    schedule.succeed(document->fresh_until);
    auto adopted =
        conf_.provider.adopt(part_, document->body, schedule.usable_until());
    if (adopted) {
        unfit_.reset();
        count_++;
        serial_ =
            conf_.zone->succeed(id, document->body, document->fresh_until);
    }
    return adopted;
}

void Lookup::wake(const Check* learnt)
{
    for (auto driver : std::exchange(waiting, {})) {
        driver->wake_from_lookup(learnt);
    }
}

}
