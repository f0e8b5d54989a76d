#include "ngx/driver.h"

#include "ngx/fetch.h"
#include "ngx/zone.h"

namespace ngx {
namespace {

using oidc::Errc;
using oidc::Error;

constexpr ngx_msec_t interval = 50; // ms between looks at the zone

oidc::World world()
{
    auto time = ngx_timeofday();
    return {time->sec, oidc::random_bytes, static_cast<int>(time->msec)};
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
    if (claimed_) {
        store_of(*claimed_).abandon(nullptr, *claimed_);
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
        if (r_->connection->error && needs_client(*step_)) {
            return {};
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
        Exchange::Manner::waited,
        [this](oidc::Result<oidc::HttpResponse> response) {
            answer_fetch(std::move(response));
        });
    if (rc != NGX_OK) {
        throw std::runtime_error("could not start a subrequest");
    }
    wait_ = Wait::subrequest;
    return false;
}

// Over HTTP/2 a request ends with its subrequest when the client has gone. A
// refresh token is spent all the same: what came for it is left to others.
void Driver::answer_fetch(oidc::Result<oidc::HttpResponse> response)
{
    wait_ = Wait::none;
    answer_ = std::move(response);
    if (r_->connection->error && claimed_) {
        drive();
    }
}

// Where the client has gone nothing can be waited for.
bool Driver::needs_client(const oidc::Step& step) const
{
    auto learn = std::get_if<oidc::Learn>(&step);
    if (learn != nullptr) {
        return learn->anew ||
            !provider_.provider.knows(learn->part, ngx_time());
    }
    return provider_.redis || std::holds_alternative<oidc::Fetch>(step);
}

bool Driver::perform(oidc::Learn& step)
{
    auto& lookup = provider_.lookup(step.part);
    auto is_first = patience_until_ == 0;
    if (is_first) {
        known_ = lookup.count();
    }
    answer_ = lookup.consult(r_, step.anew, known_);
    if (answer_) {
        return true;
    }
    if (!has_patience()) {
        answer_ = oidc::Check(Error{Errc::upstream_timeout,
            "provider did not answer another request in time"});
        return true;
    }
    if (lookup.is_asking()) {
        lookup.waiting.push_back(this);
        awaited_ = &lookup;
        park(patience_until_ - ngx_current_msec);
    } else {
        park(interval); // another worker asks
    }
    return false;
}

void Driver::wake_from_lookup(const oidc::Check* learnt)
{
    if (learnt != nullptr) {
        answer_ = *learnt;
    }
    awaited_ = nullptr;
    ngx_post_event(&event_, &ngx_posted_events);
}

// Whoever asks is bound by the outlet's patience; so are those who wait for
// two of them, one after the other.
bool Driver::has_patience()
{
    if (patience_until_ == 0) {
        patience_until_ = ngx_current_msec + 2 * provider_.outlet.patience();
    }
    return !has_passed(patience_until_);
}

Store& Driver::store_of(const oidc::Claim& step)
{
    return step.purpose == oidc::Purpose::login ? *provider_.local :
                                                  provider_.store();
}

bool Driver::perform(oidc::Claim& step)
{
    auto taking = std::exchange(taking_, {});
    if (!taking) {
        taking =
            store_of(step).take(r_, step, [this](Zone::Acquisition taking) {
                wait_ = Wait::none;
                taking_ = std::move(taking);
            });
    }
    if (!taking) {
        wait_ = Wait::subrequest;
        return false;
    }
    return judge(step, *taking);
}

bool Driver::judge(const oidc::Claim& step, const Zone::Acquisition& taking)
{
    using oidc::Claimed;

    switch (taking.standing) {
    case Zone::Standing::ours:
        claimed_ = step;
        answer_ = Claimed{Claimed::ours, {}};
        return true;
    case Zone::Standing::ended:
        answer_ = Claimed{Claimed::ended, split(taking.result)};
        return true;
    case Zone::Standing::busy:
        // A copy of this flow is under way, maybe in another worker, which may
        // have died.
        if (has_patience()) {
            park(interval);
            return false;
        }
        [[fallthrough]];
    case Zone::Standing::abandoned:
        answer_ = Claimed{Claimed::vanished, {}};
        return true;
    }
    return false;
}

template <class T>
Store::Done<T> Driver::done()
{
    return [this](T answer) {
        wait_ = Wait::none;
        answer_ = std::move(answer);
    };
}

// What a store knows at once, or will tell done().
template <class T>
bool Driver::take_answer(std::optional<T> answer)
{
    if (answer) {
        answer_ = std::move(*answer);
        return true;
    }
    wait_ = Wait::subrequest;
    return false;
}

bool Driver::perform(oidc::Load& step)
{
    return take_answer(
        provider_.store().load(r_, step, done<oidc::Result<oidc::Loaded>>()));
}

bool Driver::perform(oidc::Save& step)
{
    return take_answer(provider_.store().save(r_, step, done<oidc::Check>()));
}

bool Driver::perform(oidc::Drop& step)
{
    return take_answer(provider_.store().drop(r_, step, done<oidc::Check>()));
}

bool Driver::perform(oidc::Revoke& step)
{
    return take_answer(provider_.store().revoke(r_, step, done<oidc::Check>()));
}

// A login that failed has used up its state all the same.
void Driver::leave(const oidc::Finish& finish)
{
    if (!claimed_) {
        return;
    }
    auto claim = *std::exchange(claimed_, std::nullopt);
    auto& store = store_of(claim);
    if (finish.error && claim.purpose != oidc::Purpose::login) {
        store.abandon(r_, claim);
    } else {
        store.leave(r_, claim, join(finish.left), finish.keep_left);
    }
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
