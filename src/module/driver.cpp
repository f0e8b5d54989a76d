#include "module/driver.h"

#include "module/client_limit.h"
#include "ngx/http_client.h"
#include "oidc/errors.h"
#include "store/zone.h"

namespace ngx {
namespace {

using oidc::Errc;
using oidc::Error;

constexpr ngx_msec_t interval = 50; // ms between reads of the zone

// More than any flow has: a flow that reaches it is in a loop.
constexpr int max_steps = 50;

oidc::Environment env()
{
    return {now(), oidc::random_bytes};
}

// Set-Cookie values have no line breaks.
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

Driver::Driver(ngx_http_request_t* r, ProviderState& provider,
    std::unique_ptr<oidc::Flow> flow) :
    r_(r),
    provider_(provider), flow_(std::move(flow))
{
    event_.handler = wake;
    event_.data = this;
    event_.log = r->connection->log;
}

// The request ends, perhaps because its client has gone: other requests must
// not wait for it, and nothing may wake it.
Driver::~Driver()
{
    if (event_.timer_set) {
        ngx_del_timer(&event_);
    }
    if (event_.posted) {
        ngx_delete_posted_event(&event_);
    }
    if (awaited_ != nullptr) {
        awaited_->remove(*this);
    }
    if (ours_) {
        store_of(*ours_).abandon(nullptr, *ours_);
    }
}

std::optional<oidc::Finish> Driver::drive()
{
    if (wait_ != Wait::none) {
        return {};
    }
    if (is_over_) {
        throw std::logic_error("flow has already finished");
    }
    if (!step_) {
        step_ = flow_->start(env());
    }
    for (;;) {
        if (answer_) {
            auto answer = std::move(*answer_);
            answer_.reset();
            deadline_ = pause_ = 0;
            if (++steps_ > max_steps) {
                throw std::runtime_error("flow took too many steps");
            }
            step_ = flow_->resume(env(), std::move(answer));
        }
        if (auto end = std::get_if<oidc::Finish>(&*step_)) {
            finish(*end);
            is_over_ = true;
            return std::move(*end);
        }
        if (r_->connection->error && needs_client(*step_)) {
            if (!give_up(*step_)) {
                return {};
            }
            continue;
        }
        if (!std::visit([this](auto& step) { return perform(step); }, *step_)) {
            return {};
        }
    }
}

bool Driver::perform(oidc::Finish&)
{
    return false; // handled by drive()
}

bool Driver::perform(oidc::Fetch& step)
{
    url_ = step.request.url;
    auto rc = fetch(r_, provider_.conf.upstream_server, std::move(step.request),
        Exchange::Manner::waited, oidc::provider_failures,
        [this](oidc::Result<oidc::HttpResponse> response) {
            answer_fetch(std::move(response));
        });
    if (rc != NGX_OK) {
        throw std::runtime_error("could not start a subrequest");
    }
    wait_ = Wait::subrequest;
    return false;
}

// Over HTTP/2 a request whose client has gone ends with its subrequest. The
// refresh token is spent all the same, so the flow continues within it and
// leaves its result to other requests.
void Driver::answer_fetch(oidc::Result<oidc::HttpResponse> response)
{
    wait_ = Wait::none;
    answer_ = std::move(response);
    if (r_->connection->error && ours_) {
        drive();
    }
}

// A request whose client has gone cannot wait.
bool Driver::needs_client(const oidc::Step& step) const
{
    if (std::holds_alternative<oidc::NeedMetadata>(step)) {
        return !provider_.metadata.is_usable();
    }
    if (auto need = std::get_if<oidc::NeedKeys>(&step)) {
        return need->newer_than || !provider_.keys.is_usable();
    }
    return !provider_.store->is_immediate() ||
        std::holds_alternative<oidc::Fetch>(step);
}

// An optional step is answered with an error, and the flow continues.
bool Driver::give_up(const oidc::Step& step)
{
    auto fetch = std::get_if<oidc::Fetch>(&step);
    if (fetch == nullptr || !fetch->is_optional) {
        return false;
    }
    answer_ = oidc::Result<oidc::HttpResponse>(
        Error{Errc::request_aborted, "client closed the connection"});
    return true;
}

bool Driver::perform(oidc::NeedMetadata&)
{
    auto& metadata = provider_.metadata;
    return take_document(metadata, metadata.get(r_));
}

bool Driver::perform(oidc::NeedKeys& step)
{
    auto& keys = provider_.keys;
    return take_document(keys, keys.get(r_, step.newer_than, step.asker));
}

// Without a reply the request waits: for a request of this worker that fetches
// the document, or for another worker.
template <class T>
bool Driver::take_document(SharedDocument& document, std::optional<T> reply)
{
    if (reply) {
        if (!*reply) {
            url_ = document.url();
        }
        answer_ = std::move(*reply);
        return true;
    }
    if (!has_time_left()) {
        url_ = document.url();
        answer_ = T(Error{Errc::upstream_timeout,
            "provider did not respond to another request in time"});
        return true;
    }
    if (document.is_being_fetched()) {
        document.add(*this);
        awaited_ = &document;
        park(deadline_ - ngx_current_msec);
    } else {
        park(interval);
    }
    return false;
}

bool Driver::perform(oidc::Charge& step)
{
    using Answer = oidc::Result<std::string>;

    if (auto receipt = ClientLimit(r_, provider_.zone).charge(step.work)) {
        answer_ = Answer(std::move(*receipt));
    } else {
        answer_ = Answer(step.work == oidc::Work::logout ?
                Error{Errc::logout_limit, "client exceeded the logout limit"} :
                Error{Errc::login_limit, "client exceeded the login limit"});
    }
    return true;
}

void Driver::fetch_ended(const oidc::Error* error)
{
    if (error != nullptr) {
        url_ = awaited_->url();
    }
    if (error != nullptr && std::holds_alternative<oidc::NeedKeys>(*step_)) {
        answer_ = oidc::NeedKeys::Reply(*error);
    } else if (error != nullptr) {
        answer_ = oidc::NeedMetadata::Reply(*error);
    }
    awaited_ = nullptr;
    ngx_post_event(&event_, &ngx_posted_events);
}

// A fetch takes at most the total timeout of the server; a wait may be for two,
// one after the other.
bool Driver::has_time_left()
{
    if (deadline_ == 0) {
        deadline_ = ngx_current_msec +
            2 * provider_.conf.upstream_server.total_timeout();
    }
    return !has_passed(deadline_);
}

ngx_msec_t Driver::next_pause(const oidc::Acquire& step)
{
    auto max_pause = store_of(step).max_pause();
    pause_ = pause_ == 0 ? interval : ngx_min(2 * pause_, max_pause);
    return pause_;
}

// Logins are locked in this node alone, whatever the store.
Store& Driver::store_of(const oidc::Acquire& step)
{
    return step.purpose == oidc::Purpose::login ? *provider_.node :
                                                  *provider_.store;
}

bool Driver::perform(oidc::Acquire& step)
{
    auto acquisition = std::exchange(acquisition_, {});
    if (!acquisition) {
        acquisition = store_of(step).acquire(
            r_, step, [this](Store::Acquisition acquisition) {
                wait_ = Wait::none;
                acquisition_ = std::move(acquisition);
            });
    }
    if (!acquisition) {
        wait_ = Wait::subrequest;
        return false;
    }
    return judge(step, std::move(*acquisition));
}

bool Driver::judge(const oidc::Acquire& step, Store::Acquisition acquisition)
{
    using oidc::Acquired;
    using Answer = oidc::Result<Acquired>;

    if (!acquisition) {
        answer_ = Answer(std::move(acquisition).error());
        return true;
    }
    switch (acquisition->state) {
    case LockState::ours:
        ours_ = step;
        answer_ = Answer(Acquired{Acquired::ours, {}});
        return true;
    case LockState::ended:
        answer_ = Answer(Acquired{Acquired::ended, split(acquisition->result)});
        return true;
    case LockState::busy:
        // A copy of this flow has the lock, perhaps in another worker, which
        // may have died.
        if (has_time_left()) {
            park(next_pause(step));
            return false;
        }
        [[fallthrough]];
    case LockState::abandoned:
        answer_ = Answer(Acquired{Acquired::vanished, {}});
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

// A store answers at once, or later by done().
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
    return take_answer(provider_.store->load(r_, step, done<Store::Loaded>()));
}

bool Driver::perform(oidc::Save& step)
{
    return take_answer(provider_.store->save(r_, step, done<oidc::Check>()));
}

bool Driver::perform(oidc::Drop& step)
{
    return take_answer(provider_.store->drop(r_, step, done<oidc::Check>()));
}

bool Driver::perform(oidc::ReadClock&)
{
    return take_answer(
        provider_.store->read_clock(r_, done<Store::ClockTime>()));
}

bool Driver::perform(oidc::Pin& step)
{
    provider_.store->pin(step);
    answer_ = oidc::Check(oidc::Ok{});
    return true;
}

// In every store that may have sessions of this client, one after the other. A
// single session, by its own key, is in the provider's own store.
bool Driver::perform(oidc::Revoke& step)
{
    auto is_one = step.least > TimeMs() && step.keys.size() == 1;
    auto stores = is_one ? 1 : provider_.revoking.size();
    for (; revoked_in_ < stores; revoked_in_++) {
        auto revoked = std::exchange(revoked_, {});
        if (!revoked) {
            revoked = provider_.revoking[revoked_in_]->revoke(
                r_, step, [this](oidc::Check done) {
                    wait_ = Wait::none;
                    revoked_ = std::move(done);
                });
        }
        if (!revoked) {
            wait_ = Wait::subrequest;
            return false;
        }
        if (!*revoked) {
            answer_ = std::move(*revoked);
            break;
        }
    }
    if (!answer_) {
        answer_ = oidc::Check(oidc::Ok{});
    }
    revoked_in_ = 0;
    return true;
}

// A failed login has used its state all the same.
void Driver::finish(const oidc::Finish& end)
{
    if (!end.refund.empty()) {
        ClientLimit(r_, provider_.zone).refund(end.refund);
    }
    if (!ours_) {
        return;
    }
    auto acquired = *std::exchange(ours_, std::nullopt);
    auto& store = store_of(acquired);
    if (end.error && acquired.purpose != oidc::Purpose::login) {
        store.abandon(r_, acquired);
    } else {
        store.finish(r_, acquired, join(end.result), end.keep_result);
    }
}

// As limit_req delays a request: nginx notices meanwhile when the client
// leaves.
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
        self->awaited_->remove(*self);
        self->awaited_ = nullptr;
    }
    self->wait_ = Wait::none;
    r->read_event_handler = ngx_http_block_reading;

    ngx_http_set_log_request(c->log, r);
    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}

}
