#include "module/context.h"

#include "core/encoding.h"
#include "flow/callback.h"
#include "flow/gate.h"
#include "flow/logout.h"
#include "flow/restore.h"
#include "module/handler.h"
#include "module/request.h"
#include "module/response.h"

#include <algorithm>

namespace ngx {
namespace {

ngx_uint_t log_level(oidc::Level level)
{
    return level == oidc::Level::warn ? NGX_LOG_WARN : NGX_LOG_ERR;
}

// It may end there: the log then finds it in the server that it came to, in no
// location yet.
bool is_in_post_read_phase(const ngx_http_request_t* r)
{
    auto cmcf = static_cast<ngx_http_core_main_conf_t*>(
        ngx_http_get_module_main_conf(r, ngx_http_core_module));
    auto next = cmcf->phase_engine.server_rewrite_index;
    return next != static_cast<ngx_uint_t>(-1) &&
        static_cast<ngx_uint_t>(r->phase_handler) < next;
}

// A session in cookies may be older than the session_store of its provider.
// What was revoked before is recorded in this node alone.
TimeMs revoked_here(ProviderConf& provider, const oidc::Opened& opened)
{
    if (!opened.session || !provider.node->may_have_revocations()) {
        return {};
    }
    const auto& client = provider.provider.client();
    oidc::Load step{"", opened.session->revocation_keys(client)};
    return provider.node->load_now(step)->revoked_at;
}

// Another issuer may answer at the same path of this server.
bool shares_callback(ngx_http_request_t* r, const ProviderConf& provider)
{
    const auto& providers = server_conf(r)->providers;
    return std::any_of(
        providers.begin(), providers.end(), [&](const auto* other) {
            return other->callback_path == provider.callback_path &&
                other->provider.client().issuer !=
                provider.provider.client().issuer;
        });
}

std::string_view action(EndpointKind kind)
{
    switch (kind) {
    case EndpointKind::callback:
        return "handling the callback";
    case EndpointKind::logout:
        return "logging out";
    case EndpointKind::frontchannel_logout:
        return "handling a front-channel logout";
    default:
        return "handling a back-channel logout";
    }
}

}

Context::Context(ngx_http_request_t* r) : r_(r)
{
    view_.cookies = cookies_of(r);
}

// An internal redirect forgets the contexts of modules, and a subrequest has
// its own; the pool is the same for all of them.
Context* Context::find(ngx_http_request_t* r)
{
    auto main = r->main;
    auto context = ngx_http_get_module_ctx(main, ngx_http_oidc_module);
    if (context != nullptr) {
        return static_cast<Context*>(context);
    }
    for (auto c = main->pool->cleanup; c != nullptr; c = c->next) {
        if (c->handler == destroy<Context>) {
            ngx_http_set_ctx(main, c->data, ngx_http_oidc_module);
            return static_cast<Context*>(c->data);
        }
    }
    return nullptr;
}

Context& Context::get(ngx_http_request_t* r)
{
    auto context = find(r);
    if (context == nullptr) {
        context = make<Context>(r->pool, r->main);
        ngx_http_set_ctx(r->main, context, ngx_http_oidc_module);
    }
    return *context;
}

const Slot* Context::shown(ngx_http_request_t* r)
{
    auto context = find(r);
    if (context != nullptr && context->has_entered() && !r->main->internal) {
        return context->entered_;
    }
    if (is_in_post_read_phase(r->main)) {
        return nullptr;
    }
    if (!location_conf(r)->is_set) {
        return context != nullptr ? context->passed_ : nullptr;
    }
    bool unknown;
    auto provider = protecting_provider(r, unknown);
    return provider != nullptr ? &get(r).look(*provider) : nullptr;
}

Slot& Context::slot(ProviderConf& provider)
{
    for (auto& slot : slots_) {
        if (&slot.provider == &provider) {
            return slot;
        }
    }
    return slots_.emplace_back(provider);
}

// A session of this node is loaded when it is first needed; one of a remote
// store is there once restore() has loaded it.
Slot& Context::look(ProviderConf& provider)
{
    auto& slot = this->slot(provider);
    if (provider.store->is_immediate()) {
        restore(slot);
    }
    slot.was_missed |= !slot.is_restored;
    return slot;
}

ngx_int_t Context::restore(const std::vector<ProviderConf*>& providers)
{
    hush();
    for (auto provider : providers) {
        if (!provider->store->is_immediate() &&
            restore(slot(*provider)) == NGX_AGAIN) {
            return NGX_AGAIN;
        }
    }
    unhush();
    return NGX_OK;
}

// A store that is down is no concern of a request that needs no session: what
// nginx says of its connections stays out of the log, but for debugging. The
// gate says it where it matters.
void Context::hush()
{
    auto& level = r_->connection->log->log_level;
    if (!log_level_ && level > NGX_LOG_CRIT && level <= NGX_LOG_DEBUG) {
        log_level_ = std::exchange(level, NGX_LOG_CRIT);
    }
}

void Context::unhush()
{
    if (log_level_) {
        r_->connection->log->log_level =
            *std::exchange(log_level_, std::nullopt);
    }
}

// NGX_AGAIN while its store is being asked.
ngx_int_t Context::restore(Slot& slot)
{
    if (slot.is_restored) {
        return NGX_OK;
    }
    if (!slot.driver) {
        begin_restoring(slot);
    }
    if (!slot.driver) {
        slot.is_restored = true;
        return NGX_OK;
    }
    auto end = drive(slot.driver);
    if (!end) {
        return NGX_AGAIN;
    }
    slot.is_restored = true;
    slot.session = std::move(end->session);
    slot.failure = std::move(end->error);
    slot.failed_while = action_;
    return NGX_OK;
}

void Context::begin_restoring(Slot& slot)
{
    auto& provider = slot.provider;
    auto held = oidc::Opened::all_from(view_.cookies, provider.provider,
        is_secure(r_, provider.provider.client()));
    if (held.empty()) {
        return;
    }
    slot.may_be_plain = held.back().is_plain;
    if (provider.store->is_immediate()) {
        restore_here(slot, std::move(held));
    } else if (!has_failed_before(slot)) {
        for (auto& opened : held) {
            opened.revoked_at = revoked_here(provider, opened);
        }
        slot.driver.emplace(r_, provider,
            std::make_unique<oidc::Restore>(
                provider.provider, std::move(held)));
    }
}

void Context::restore_here(Slot& slot, std::vector<oidc::Opened> held)
{
    auto& provider = slot.provider;
    auto now = ngx::now();
    oidc::Restoration restoration(provider.provider, std::move(held));

    // Where nothing is revoked that costs no digest.
    if (restoration.is_at_hand() && !provider.store->may_have_revocations()) {
        restoration.take_as_it_is(now);
    }
    while (auto load = restoration.next()) {
        restoration.take(*provider.store->load_now(*load), now);
    }
    slot.session = std::move(restoration.session);
    slot.pin = std::move(restoration.pin);
}

// A store that has kept this request waiting once does so no second time.
bool Context::has_failed_before(Slot& slot)
{
    for (const auto& other : slots_) {
        if (other.failure &&
            other.provider.store->backend() == slot.provider.store->backend()) {
            slot.failure = other.failure;
            slot.failed_while = other.failed_while;
            return true;
        }
    }
    return false;
}

// NGX_OK once the slot's session is all that is to be known of it, and good to
// be used; or its failure.
ngx_int_t Context::settle(Slot& slot)
{
    auto rc = restore(slot);
    if (rc == NGX_OK && is_planted(slot)) {
        slot.session.reset();
        slot.pin.reset();
        slot.failure.reset();
        slot.is_restored = slot.may_be_plain = false;
        rc = restore(slot);
    }
    if (rc != NGX_OK || slot.is_settled) {
        return rc;
    }
    if (auto pin = std::exchange(slot.pin, std::nullopt)) {
        slot.provider.store->pin(*pin);
    }
    rc = renew(slot);
    slot.is_settled = rc == NGX_OK;
    return rc;
}

// Only the location may know that the browser is on https: what was found
// before under a name that http can plant is not to be believed there.
bool Context::is_planted(const Slot& slot) const
{
    return slot.may_be_plain && is_secure(r_, slot.provider.provider.client());
}

ngx_int_t Context::renew(Slot& slot)
{
    auto& provider = slot.provider;
    if (!slot.driver) {
        auto wanted = refresh(provider);
        if (!slot.session ||
            !oidc::Renewal::is_due(
                provider.provider.client(), *slot.session, wanted, now())) {
            return NGX_OK;
        }
        prepare();
        slot.driver.emplace(r_, provider,
            std::make_unique<oidc::Renewal>(
                provider.provider, view_, *slot.session, wanted));
    }
    auto end = drive(slot.driver);
    if (!end) {
        return NGX_AGAIN;
    }
    take_renewed(slot, std::move(*end));
    return NGX_OK;
}

// No token goes out to where an endpoint leads.
oidc::Renewal::Refresh Context::refresh(const ProviderConf& provider) const
{
    using enum oidc::Renewal::Refresh;
    if (entered_ != nullptr) {
        return never;
    }
    return now() < provider.refresh_from ? by_others : asked_for;
}

void Context::take_renewed(Slot& slot, oidc::Finish end)
{
    slot.session = std::move(end.session);
    slot.failure = std::move(end.error);
    slot.failed_while = action_;
    if (end.warning) {
        log(slot.provider.name, *end.warning);
    }
    if (end.back_off > 0s) {
        slot.provider.refresh_from = now() + end.back_off;
    }
    add_cookies(r_, end.cookies);
}

bool Context::has_checked(
    const LocationConf& place, const ProviderConf& provider) const
{
    return checked_ == &place || entered_ != nullptr || error_ ||
        (passed_ != nullptr && &passed_->provider == &provider);
}

ngx_int_t Context::pass_gate(ProviderConf& provider, bool is_required)
{
    checked_ = location_conf(r_);
    gate_ = &slot(provider);
    is_required_ = is_required;
    return go_on_at_gate();
}

ngx_int_t Context::go_on_at_gate()
{
    return in_flow([this] { return try_gate(); });
}

// An exception leaves nothing behind for the place that the request is in next.
// Any other end sees to that itself: once the request is answered it may be
// gone, and this context with it.
template <class Call>
ngx_int_t Context::in_flow(Call call)
{
    try {
        return call();
    } catch (...) {
        gate_ = nullptr;
        driver_.reset();
        throw;
    }
}

ngx_int_t Context::try_gate()
{
    auto& slot = *gate_;
    auto rc = settle(slot);
    if (rc != NGX_OK) {
        return rc;
    }
    // A malformed request that an error_page has sent here came past the phase
    // that loads sessions: what `if` and `map` have found was nobody.
    if (slot.session && slot.was_missed) {
        slot.failure = oidc::Error{oidc::Errc::request_malformed,
            "malformed request read session variables before the session was "
            "available"};
        slot.session.reset();
    }
    if (slot.failure) {
        action_ = slot.failed_while;
    }
    if (slot.failure && is_required_) {
        oidc::Finish end;
        end.error = slot.failure;
        return fail(slot.provider.name, std::move(end));
    }
    if (slot.failure) {
        log(slot.provider.name, *slot.failure);
    }
    if (slot.session) {
        passed_ = &slot;
    }
    if (is_required_ && !slot.session) {
        return begin_login(slot);
    }
    gate_ = nullptr;
    return is_required_ ? NGX_OK : NGX_DECLINED;
}

ngx_int_t Context::begin_login(Slot& slot)
{
    if (!driver_) {
        prepare();
        evaluate_arguments(slot.provider);
        driver_.emplace(r_, slot.provider,
            std::make_unique<oidc::Gate>(slot.provider.provider, view_));
    }
    return run(slot);
}

ngx_int_t Context::enter(
    ProviderConf& provider, EndpointKind kind, std::string_view form)
{
    entered_ = &slot(provider);
    endpoint_ = kind;
    form_ = form;
    view_.reply = form_;
    return go_on();
}

const std::string& Context::take_query()
{
    if (!query_) {
        query_ = text(r_->args);
        hide_query(r_);
    }
    return *query_;
}

ngx_int_t Context::go_on()
{
    return in_flow([this] { return go_on_entered(); });
}

ngx_int_t Context::go_on_entered()
{
    auto& slot = *entered_;
    if (!driver_ && endpoint_ != EndpointKind::backchannel_logout) {
        auto rc = settle(slot);
        if (rc != NGX_OK) {
            return rc;
        }
        if (slot.failure && endpoint_ == EndpointKind::callback) {
            action_ = slot.failed_while;
            log(slot.provider.name, *slot.failure);
        }
    }
    if (!driver_) {
        prepare();
        view_.shares_callback = endpoint_ == EndpointKind::callback &&
            shares_callback(r_, slot.provider);
        driver_.emplace(r_, slot.provider, endpoint_flow(slot));
    }
    return run(slot);
}

std::unique_ptr<oidc::Flow> Context::endpoint_flow(const Slot& slot) const
{
    const auto& provider = slot.provider.provider;
    switch (endpoint_) {
    case EndpointKind::callback:
        return std::make_unique<oidc::Callback>(provider, view_, slot.session);
    case EndpointKind::logout:
        return std::make_unique<oidc::Logout>(
            provider, view_, slot.session, slot.failure);
    case EndpointKind::frontchannel_logout:
        return std::make_unique<oidc::FrontChannelLogout>(
            provider, view_, slot.session, slot.failure);
    default:
        return std::make_unique<oidc::BackChannelLogout>(provider, view_);
    }
}

ngx_int_t Context::refuse_endpoint(
    const ProviderConf& provider, EndpointKind kind, oidc::Error error)
{
    action_ = action(kind);
    oidc::Finish end;
    end.error = std::move(error);
    return fail(provider.name, std::move(end));
}

// What a flow needs to know of the request; a session needs the cookies alone.
void Context::prepare()
{
    view_.method = view(r_->method_name);
    view_.target = view(r_->unparsed_uri);
    view_.origin = origin_of(r_);
    view_.fetch_site = header_of(r_, "sec-fetch-site");
    view_.fetch_mode = header_of(r_, "sec-fetch-mode");
    view_.fetch_dest = header_of(r_, "sec-fetch-dest");
    view_.purpose =
        header_of(r_, {"sec-purpose", "purpose", "x-purpose", "x-moz"});
    view_.source = header_of(r_, {"origin", "referer"});
    view_.address = address_of(r_);
    view_.cookie_room = cookie_room(r_);
}

// Once, before the first step of the flow that they are for: what the operator
// writes may name the session of that flow's provider.
void Context::evaluate_arguments(const ProviderConf& provider)
{
    view_.extra_args = provider.settings.extra_auth_args != nullptr ?
        evaluate(r_, provider.settings.extra_auth_args) :
        "";
}

// Nothing while something is waited for. The driver is gone at the end.
std::optional<oidc::Finish> Context::drive(std::optional<Driver>& driver)
{
    std::optional<oidc::Finish> end;
    try {
        end = driver->drive();
    } catch (const std::exception& e) {
        end.emplace();
        end->error = oidc::Error{
            oidc::Errc::internal, std::string("internal error, ") + e.what()};
    }
    if (end) {
        action_ = driver->action();
        driver.reset();
    }
    return end;
}

ngx_int_t Context::run(Slot& slot)
{
    auto end = drive(driver_);
    return end ? finish(slot, std::move(*end)) : NGX_AGAIN;
}

ngx_int_t Context::finish(Slot& slot, oidc::Finish finish)
{
    gate_ = nullptr;
    if (finish.error) {
        return fail(slot.provider.name, std::move(finish));
    }
    if (finish.warning) {
        log(slot.provider.name, *finish.warning);
    }
    if (finish.session) {
        slot.session = std::move(finish.session);
        passed_ = &slot;
    }
    return answer(
        r_, finish, entered_ != nullptr && r_->method == NGX_HTTP_POST);
}

ngx_int_t Context::fail(const std::string& provider, oidc::Finish end)
{
    gate_ = nullptr;
    log(provider, *end.error);
    error_ = end.error;
    return refuse(r_, end);
}

void Context::log(const std::string& provider, const oidc::Error& error) const
{
    auto log = r_->connection->log;
    // What nginx did last, in an upstream perhaps, is not what we do.
    auto action = std::exchange(log->action, nullptr);
    ngx_log_error(log_level(oidc::fault(error.code).level), log, 0,
        "oidc: %s while %*s, provider %s", error.detail.c_str(), action_.size(),
        action_.data(), oidc::quoted(provider).c_str());
    log->action = action;
}

}
