#include "module/context.h"

#include "core/encoding.h"
#include "flow/backchannel_logout.h"
#include "flow/callback.h"
#include "flow/frontchannel_logout.h"
#include "flow/gate.h"
#include "flow/logout.h"
#include "flow/restore.h"
#include "module/protection.h"
#include "module/request.h"
#include "module/response.h"
#include "oidc/errors.h"

#include <utility>

namespace ngx {
namespace {

// A request may end there: it is then logged in its server, without a location.
bool is_in_post_read_phase(const ngx_http_request_t* r)
{
    auto cmcf = &conf_of<ngx_http_core_main_conf_t>(r);
    auto next = cmcf->phase_engine.server_rewrite_index;
    return next != static_cast<ngx_uint_t>(-1) &&
        static_cast<ngx_uint_t>(r->phase_handler) < next;
}

// For a session from before the configuration named a store in Redis, which
// lacks the older revocation records.
oidc::TimeMs revoked_here(
    ProviderState& state, const oidc::CookieContent& opened)
{
    if (!opened.session || !state.node->may_have_revocations()) {
        return {};
    }
    return state.node
        ->load_now({"", opened.session->revocation_keys(state.client())})
        ->revoked_at;
}

// Under "satisfy any" nginx runs no handler after the gate has let a request
// through.
bool grants_access_alone(const ngx_http_request_t* r)
{
    return conf_of<ngx_http_core_loc_conf_t>(r).satisfy == NGX_HTTP_SATISFY_ANY;
}

}

Context::Context(ngx_http_request_t* r) : r_(r)
{
    view_.cookies = cookies_of(r);
}

// An internal redirect clears the contexts of modules, and a subrequest has its
// own; all share the pool.
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
    if (context != nullptr && context->is_at_endpoint() && !r->main->internal) {
        return context->endpoint_slot_;
    }
    if (is_in_post_read_phase(r->main)) {
        return nullptr;
    }
    if (!conf_of<LocationConf>(r).is_set) {
        return context != nullptr ? context->passed_ : nullptr;
    }
    bool unknown;
    auto provider = protecting_provider(r, unknown);
    return provider != nullptr ? &get(r).read_slot(*provider) : nullptr;
}

const std::string* Context::remote_user_claim(ngx_http_request_t* r)
{
    const auto& conf = conf_of<LocationConf>(r);
    auto context = find(r);
    if (!conf.shows_claim() && !conf.is_set && context != nullptr &&
        context->passed_in_ != nullptr) {
        return context->passed_in_->shows_claim() ?
            &context->passed_in_->remote_user :
            nullptr;
    }
    bool unknown = false;
    auto is_open =
        conf.is_set && protecting_provider(r, unknown) == nullptr && !unknown;
    return conf.shows_claim() && !is_open ? &conf.remote_user : nullptr;
}

Slot& Context::slot(ProviderConf& provider)
{
    for (auto& slot : slots_) {
        if (&slot.state.conf == &provider) {
            return slot;
        }
    }
    return slots_.emplace_back(state_of(r_, provider));
}

// A session in this node is opened when it is read; one in Redis is known after
// restore().
Slot& Context::read_slot(ProviderConf& provider)
{
    auto& slot = this->slot(provider);
    if (slot.state.store->is_immediate()) {
        restore(slot);
    }
    slot.was_read_early |= !slot.is_restored;
    return slot;
}

ngx_int_t Context::restore(const std::vector<ProviderConf*>& providers)
{
    silence_log();
    for (auto provider : providers) {
        auto& slot = this->slot(*provider);
        if (!slot.state.store->is_immediate() && restore(slot) == NGX_AGAIN) {
            return NGX_AGAIN;
        }
    }
    restore_log();
    return NGX_OK;
}

// A request that needs no session is not affected by a failed store: nginx's
// lines about its connections stay out of the log, except when debugging. The
// gate reports the failure where a session is needed.
void Context::silence_log()
{
    auto& level = r_->connection->log->log_level;
    if (!log_level_ && level > NGX_LOG_CRIT && level <= NGX_LOG_DEBUG) {
        log_level_ = std::exchange(level, NGX_LOG_CRIT);
    }
}

void Context::restore_log()
{
    if (log_level_) {
        r_->connection->log->log_level =
            *std::exchange(log_level_, std::nullopt);
    }
}

// NGX_AGAIN while the store loads it.
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
    slot.failed_while = log_context_;
    return NGX_OK;
}

void Context::begin_restoring(Slot& slot)
{
    auto& state = slot.state;
    auto held = oidc::CookieContent::all_from(
        view_.cookies, state.provider, site_of(r_, state.client()));
    if (held.empty()) {
        return;
    }
    slot.may_be_plain = held.back().is_plain;
    if (state.store->is_immediate()) {
        restore_here(slot, std::move(held));
    } else if (!has_failed_before(slot)) {
        for (auto& opened : held) {
            opened.revoked_at = revoked_here(state, opened);
        }
        slot.driver.emplace(r_, state,
            std::make_unique<oidc::Restore>(state.provider, std::move(held)));
    }
}

void Context::restore_here(Slot& slot, std::vector<oidc::CookieContent> held)
{
    auto& state = slot.state;
    auto now = ngx::now();
    oidc::Restoration restoration(state.provider, std::move(held));

    // Saves the digests of revocation keys where there are no records.
    if (restoration.is_at_hand() && !state.store->may_have_revocations()) {
        restoration.take_as_it_is(now);
    }
    while (auto load = restoration.next()) {
        restoration.take(*state.store->load_now(*load), now);
    }
    slot.session = std::move(restoration.session);
    slot.pin = std::move(restoration.pin);
}

// A store that has failed once for this request is not waited for again.
bool Context::has_failed_before(Slot& slot)
{
    for (const auto& other : slots_) {
        if (other.failure &&
            other.state.store->backend() == slot.state.store->backend()) {
            slot.failure = other.failure;
            slot.failed_while = other.failed_while;
            return true;
        }
    }
    return false;
}

// NGX_OK once the slot's session, or its failure, is final.
ngx_int_t Context::resolve_session(Slot& slot)
{
    auto rc = restore(slot);
    if (rc == NGX_OK && is_planted(slot)) {
        slot.session.reset();
        slot.pin.reset();
        slot.failure.reset();
        slot.is_restored = slot.may_be_plain = false;
        rc = restore(slot);
    }
    if (rc != NGX_OK || slot.is_resolved) {
        return rc;
    }
    if (auto pin = std::exchange(slot.pin, std::nullopt)) {
        slot.state.store->pin(*pin);
    }
    rc = renew(slot);
    slot.is_resolved = rc == NGX_OK;
    return rc;
}

// Only the location may tell that the browser is on https. A session found
// before under a name that can be planted over http does not count there.
bool Context::is_planted(const Slot& slot) const
{
    return slot.may_be_plain && site_of(r_, slot.state.client()).secure;
}

ngx_int_t Context::renew(Slot& slot)
{
    auto& state = slot.state;
    if (!slot.driver) {
        auto wanted = refresh(state);
        if (!slot.session ||
            !oidc::Renewal::is_due(
                state.client(), *slot.session, wanted, now())) {
            return NGX_OK;
        }
        prepare();
        slot.driver.emplace(r_, state,
            std::make_unique<oidc::Renewal>(
                state.provider, view_, *slot.session, wanted));
    }
    auto end = drive(slot.driver);
    if (!end) {
        return NGX_AGAIN;
    }
    log_context_.session = slot.session->handle();
    take_renewed(slot, std::move(*end));
    return NGX_OK;
}

// No refresh at an endpoint.
oidc::Renewal::Refresh Context::refresh(const ProviderState& state) const
{
    using enum oidc::Renewal::Refresh;
    if (endpoint_slot_ != nullptr) {
        return never;
    }
    return now() < state.refresh_not_before ? by_others : asked_for;
}

void Context::take_renewed(Slot& slot, oidc::Finish end)
{
    slot.session = std::move(end.session);
    slot.failure = std::move(end.error);
    slot.failed_while = log_context_;
    log_warnings(slot, end);
    if (end.failure_backoff > oidc::Seconds()) {
        slot.state.refresh_not_before = now() + end.failure_backoff;
    }
    add_cookies(r_, std::move(end.cookies));
}

bool Context::has_checked(
    const LocationConf& place, const ProviderConf& provider) const
{
    return checked_ == &place || endpoint_slot_ != nullptr || error_ ||
        (passed_ != nullptr && &passed_->state.conf == &provider);
}

ngx_int_t Context::pass_gate(ProviderConf& provider, bool is_required)
{
    checked_ = &conf_of<LocationConf>(r_);
    gate_ = &slot(provider);
    is_required_ = is_required;
    return resume_at_gate();
}

ngx_int_t Context::resume_at_gate()
{
    return in_flow([this] { return try_gate(); });
}

// After an exception the next location of the request must find no flow in
// progress. Every other end resets this itself, since the request and this
// context may be gone once it is answered.
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
    auto rc = resolve_session(slot);
    if (rc != NGX_OK) {
        return rc;
    }
    // A malformed request that an error_page has sent here skipped the phase
    // that loads sessions: `if` and `map` have seen no session.
    if (slot.session && slot.was_read_early) {
        slot.failure = oidc::Error{oidc::Errc::request_malformed,
            "malformed request read session variables before the session was "
            "available"};
        slot.session.reset();
    }
    if (slot.failure) {
        log_context_ = slot.failed_while;
    }
    if (slot.failure && is_required_) {
        oidc::Finish end;
        end.error = slot.failure;
        return fail(slot.state.name(), std::move(end));
    }
    if (slot.failure) {
        log_error(r_, slot.state.name(), log_context_, *slot.failure);
    }
    if (slot.session) {
        passed_ = &slot;
        passed_in_ = checked_;
    }
    if (is_required_ && !slot.session) {
        return begin_login(slot);
    }
    gate_ = nullptr;
    if (!is_required_) {
        return NGX_DECLINED;
    }
    auto unmet = grants_access_alone(r_) ? find_unmet(r_) : std::nullopt;
    return unmet ? forbid(*unmet) : NGX_OK;
}

ngx_int_t Context::forbid(const Unmet& unmet)
{
    bool unknown;
    auto provider = protecting_provider(r_, unknown);
    log_context_ = {authorizing};
    oidc::Finish end;
    end.error = oidc::Error{oidc::Errc::forbidden,
        oidc::quoted(unmet.value) +
            " of \"auth_oidc_require\" is empty, \"0\" or \"false\""};
    return fail(provider != nullptr ? provider->name : "off", std::move(end),
        unmet.status);
}

ngx_int_t Context::begin_login(Slot& slot)
{
    if (!driver_) {
        prepare();
        evaluate_arguments(slot.state.conf);
        driver_.emplace(r_, slot.state,
            std::make_unique<oidc::Gate>(slot.state.provider, view_));
    }
    return run(slot);
}

ngx_int_t Context::enter(
    ProviderConf& provider, EndpointKind kind, std::string_view form)
{
    endpoint_slot_ = &slot(provider);
    endpoint_ = kind;
    form_ = form;
    view_.reply = form_;
    return resume();
}

const std::string& Context::take_query()
{
    if (!query_) {
        query_ = text(r_->args);
        hide_query(r_);
    }
    return *query_;
}

ngx_int_t Context::resume()
{
    return in_flow([this] { return resume_endpoint_flow(); });
}

ngx_int_t Context::resume_endpoint_flow()
{
    auto& slot = *endpoint_slot_;
    if (!driver_ && endpoint_ != EndpointKind::backchannel_logout) {
        auto rc = resolve_session(slot);
        if (rc != NGX_OK) {
            return rc;
        }
        if (slot.failure && endpoint_ == EndpointKind::callback) {
            log_context_ = slot.failed_while;
            log_error(r_, slot.state.name(), log_context_, *slot.failure);
        }
    }
    if (!driver_) {
        prepare();
        view_.shares_callback = endpoint_ == EndpointKind::callback &&
            shares_callback(r_, slot.state.conf);
        view_.shares_frontchannel_logout =
            endpoint_ == EndpointKind::frontchannel_logout &&
            shares_frontchannel_logout(r_, slot.state.conf);
        driver_.emplace(r_, slot.state, endpoint_flow(slot));
    }
    return run(slot);
}

std::unique_ptr<oidc::Flow> Context::endpoint_flow(const Slot& slot) const
{
    const auto& provider = slot.state.provider;
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
    log_context_ = {action(kind)};
    oidc::Finish end;
    end.error = std::move(error);
    return fail(provider.name, std::move(end));
}

// What a flow needs of the request. Sessions need the cookies alone, which are
// set already.
void Context::prepare()
{
    view_.method = view(r_->method_name);
    view_.target = view(r_->unparsed_uri);
    view_.origin = base_url_of(r_);
    view_.fetch_site = header_of(r_, "sec-fetch-site");
    view_.fetch_mode = header_of(r_, "sec-fetch-mode");
    view_.fetch_dest = header_of(r_, "sec-fetch-dest");
    view_.purpose =
        header_of(r_, {"sec-purpose", "purpose", "x-purpose", "x-moz"});
    view_.source = header_of(r_, {"origin", "referer"});
    view_.address = address_of(r_);
    view_.cookie_room = cookie_room(r_);
}

// Evaluated once, before the first step of the flow: the operator's values may
// have variables of that provider's session.
void Context::evaluate_arguments(const ProviderConf& provider)
{
    view_.extra_args = provider.settings.extra_auth_args != nullptr ?
        evaluate(r_, provider.settings.extra_auth_args) :
        "";
}

// Nothing while the flow waits. Destroys the driver at the end.
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
        log_context_ = {driver->action(), driver->url()};
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
        return fail(slot.state.name(), std::move(finish));
    }
    log_warnings(slot, finish);
    if (finish.session) {
        slot.session = std::move(finish.session);
        passed_ = &slot;
    }
    return answer(
        r_, finish, endpoint_slot_ != nullptr && r_->method == NGX_HTTP_POST);
}

ngx_int_t Context::fail(
    const std::string& provider, oidc::Finish end, ngx_int_t status)
{
    gate_ = nullptr;
    log_error(r_, provider, log_context_, *end.error);
    error_ = end.error;
    return refuse(
        r_, end, status != 0 ? status : oidc::fault(end.error->code).status);
}

// What did not stop the flow.
void Context::log_warnings(const Slot& slot, const oidc::Finish& finish) const
{
    if (finish.warning) {
        log_error(r_, slot.state.name(), log_context_, *finish.warning);
    }
    if (!finish.notice.empty()) {
        log_notice(r_, slot.state.name(), log_context_, finish.notice);
    }
}

}
