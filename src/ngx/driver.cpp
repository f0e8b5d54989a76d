#include "ngx/driver.h"

#include "ngx/fetch.h"
#include "ngx/zone.h"

namespace ngx {
namespace {

using oidc::Errc;
using oidc::Error;

constexpr ngx_msec_t claim_interval = 50; // ms between looks at the zone

oidc::World world()
{
    return {ngx_time(), oidc::random_bytes};
}

Zone& zone_of(const ngx_http_request_t* r)
{
    return *main_conf(r)->zone;
}

// Set-Cookie values hold no line break.
std::string join(const std::vector<std::string>& lines)
{
    std::string text;
    for (const auto& line : lines) {
        text += line + "\n";
    }
    return text;
}

std::vector<std::string> split(std::string_view text)
{
    std::vector<std::string> lines;
    for (auto end = text.find('\n'); end != text.npos; end = text.find('\n')) {
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(end + 1);
    }
    return lines;
}

bool has_passed(ngx_msec_t time)
{
    return static_cast<ngx_msec_int_t>(ngx_current_msec - time) >= 0;
}

}

Driver::Driver(ngx_http_request_t* r, ProviderConf& provider,
    std::unique_ptr<oidc::Flow> flow) :
    r_(r),
    provider_(provider), flow_(std::move(flow))
{
    event_.handler = wake;
    event_.data = this;
    event_.log = r->connection->log;
}

// The request ends, perhaps because its client has gone: nobody may wait for
// it, and nothing may wake it.
Driver::~Driver()
{
    if (event_.timer_set) {
        ngx_del_timer(&event_);
    }
    if (event_.posted) {
        ngx_delete_posted_event(&event_);
    }
    if (awaited_ != nullptr) {
        awaited_->waiting.remove(this);
    }
    if (owned_ != nullptr) {
        wake_waiting(*owned_, nullptr);
    }
    if (!claimed_.empty()) {
        zone_of(r_).abandon(claimed_);
    }
}

std::optional<oidc::Finish> Driver::drive()
{
    if (wait_ != Wait::none) {
        return {};
    }
    if (!step_) {
        step_ = flow_->start(world());
    }
    for (;;) {
        if (answer_) {
            auto answer = std::move(*answer_);
            answer_.reset();
            patience_until_ = 0;
            step_ = flow_->resume(world(), std::move(answer));
        }
        if (auto finish = std::get_if<oidc::Finish>(&*step_)) {
            leave(*finish);
            return std::move(*finish);
        }
        if (!std::visit([this](auto& step) { return perform(step); }, *step_)) {
            return {};
        }
    }
}

bool Driver::perform(oidc::Finish&)
{
    return false; // drive() has seen to it
}

bool Driver::perform(oidc::Fetch& step)
{
    auto rc = fetch(r_, provider_.outlet, std::move(step.request),
        [this](oidc::Result<oidc::HttpResponse> response) {
            wait_ = Wait::none;
            answer_ = std::move(response);
        });
    if (rc != NGX_OK) {
        throw std::runtime_error("could not start a subrequest");
    }
    wait_ = Wait::subrequest;
    return false;
}

bool Driver::perform(oidc::Learn& step)
{
    auto& lookup = provider_.lookup(step.part);
    auto& provider = provider_.provider;

    if (provider.knows(step.part, ngx_time())) {
        answer_ = oidc::Check(oidc::Ok{});
        return true;
    }
    if (lookup.owner == nullptr) {
        ask_provider(step.part);
        return false;
    }
    // Somebody asks already. Whoever asks is bound by the same timeouts.
    auto patience = 2 * provider_.outlet.patience();
    if (patience_until_ == 0) {
        patience_until_ = ngx_current_msec + patience;
    }
    if (has_passed(patience_until_)) {
        answer_ = oidc::Check(Error{Errc::upstream_timeout,
            "provider did not answer another request in time"});
        return true;
    }
    park(patience_until_ - ngx_current_msec);
    lookup.waiting.push_back(this);
    awaited_ = &lookup;
    return false;
}

void Driver::ask_provider(oidc::Part part)
{
    auto& lookup = provider_.lookup(part);
    auto rc = fetch(r_, provider_.outlet, provider_.provider.request(part),
        [this, part, &lookup](oidc::Result<oidc::HttpResponse> response) {
            auto learnt =
                provider_.provider.learn(part, std::move(response), ngx_time());
            log_kept(part, learnt);
            wake_waiting(lookup, &learnt);
            wait_ = Wait::none;
            answer_ = std::move(learnt);
        });
    if (rc != NGX_OK) {
        throw std::runtime_error("could not start a subrequest");
    }
    lookup.owner = this;
    owned_ = &lookup;
    wait_ = Wait::subrequest;
}

// What was known serves on, and no flow will complain.
void Driver::log_kept(oidc::Part part, const oidc::Check& learnt)
{
    if (!learnt && provider_.provider.knows(part, ngx_time())) {
        ngx_log_error(NGX_LOG_ERR, r_->connection->log, 0,
            "oidc: %s while renewing %s, provider \"%s\"",
            learnt.error().detail.c_str(),
            part == oidc::Part::metadata ? "metadata" : "keys",
            provider_.name.c_str());
    }
}

// Without an answer the waiting ask anew, the first of them for the others.
void Driver::wake_waiting(Lookup& lookup, const oidc::Check* learnt)
{
    lookup.owner = nullptr;
    owned_ = nullptr;
    for (auto waiting : lookup.waiting) {
        if (learnt != nullptr) {
            waiting->answer_ = *learnt;
        }
        waiting->awaited_ = nullptr;
        ngx_post_event(&waiting->event_, &ngx_posted_events);
    }
    lookup.waiting.clear();
}

bool Driver::perform(oidc::Claim& step)
{
    using oidc::Claimed;
    auto taking = zone_of(r_).take(step.id, ngx_time(), step.until);

    if (patience_until_ == 0) {
        patience_until_ = ngx_current_msec + 2 * provider_.outlet.patience();
    }
    switch (taking.taken) {
    case Zone::Taken::ours:
        claimed_ = step.id;
        answer_ = Claimed{Claimed::ours, {}};
        return true;
    case Zone::Taken::ended:
        answer_ = Claimed{Claimed::ended, split(taking.left)};
        return true;
    case Zone::Taken::busy:
        // A copy of this callback is under way, maybe in another worker, which
        // may have died.
        if (!has_passed(patience_until_)) {
            park(claim_interval);
            return false;
        }
        [[fallthrough]];
    case Zone::Taken::abandoned:
        answer_ = Claimed{Claimed::vanished, {}};
        return true;
    }
    return false;
}

void Driver::leave(const oidc::Finish& finish)
{
    if (claimed_.empty()) {
        return;
    }
    auto cookies = finish.claimed == claimed_ ? join(finish.cookies) : "";
    zone_of(r_).leave(claimed_, cookies, ngx_time());
    claimed_.clear();
}

// As limit_req parks a request: the client's leaving is noticed meanwhile.
void Driver::park(ngx_msec_t timeout)
{
    if (ngx_handle_read_event(r_->connection->read, 0) != NGX_OK) {
        throw std::runtime_error("could not wait for the client");
    }
    r_->read_event_handler = ngx_http_test_reading;
    wait_ = Wait::event;
    ngx_add_timer(&event_, timeout);
}

void Driver::wake(ngx_event_t* event)
{
    auto self = static_cast<Driver*>(event->data);
    auto r = self->r_;
    auto c = r->connection;

    if (event->timer_set) {
        ngx_del_timer(event);
    }
    event->timedout = 0;
    if (self->awaited_ != nullptr) {
        self->awaited_->waiting.remove(self);
        self->awaited_ = nullptr;
    }
    self->wait_ = Wait::none;
    r->read_event_handler = ngx_http_block_reading;

    ngx_http_set_log_request(c->log, r);
    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}

}
