#include "ngx/context.h"

#include "core/encode.h"
#include "flow/callback.h"
#include "flow/gate.h"
#include "flow/logout.h"
#include "ngx/answer.h"
#include "ngx/request.h"

namespace ngx {
namespace {

ngx_uint_t log_level(oidc::Level level)
{
    return level == oidc::Level::warn ? NGX_LOG_WARN : NGX_LOG_ERR;
}

std::string_view doing(Entry entry)
{
    switch (entry) {
    case Entry::callback:
        return "handling the callback";
    case Entry::logout:
        return "logging out";
    case Entry::frontchannel_logout:
        return "handling a front-channel logout";
    default:
        return "handling a back-channel logout";
    }
}

}

Context::Context(ngx_http_request_t* r) : r_(r)
{
    visit_.cookies = cookies_of(r);
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

const std::optional<oidc::Session>& Context::session(ProviderConf& provider)
{
    if (provider_ != &provider) {
        provider_ = &provider;
        settled_ = nullptr;
        open(provider);
    }
    return session_;
}

void Context::open(ProviderConf& provider)
{
    auto now = ngx_time();
    auto held = oidc::Session::open(visit_.cookies, provider.provider, now);
    session_.reset();
    held_ = {};
    if (provider.redis) {
        held_ = std::move(held);
        return;
    }
    session_ = std::move(held.session);
    if (held.ticket) {
        auto blob = provider.local->load({held.ticket->key(), {}}).blob;
        if (blob) {
            session_ = oidc::Session::open_stored(
                *held.ticket, *blob, provider.provider, now);
        }
    }
    if (is_revoked(provider)) {
        session_.reset();
    }
}

// Where nothing is revoked that costs no digest.
bool Context::is_revoked(const ProviderConf& provider) const
{
    if (!session_ || !provider.zone->has_revocations()) {
        return false;
    }
    const auto& client = provider.provider.client();
    auto marks = session_->marks(client);
    std::vector<std::string_view> views(marks.begin(), marks.end());
    auto at = provider.zone->revoked_at(views);
    if (session_->started() > at) {
        return false;
    }
    // Anybody may have asked for that, whose requests are not kept for sure.
    provider.zone->pin(views, views[1], ngx_time());
    return true;
}

ngx_int_t Context::settle(ProviderConf& provider, bool is_required)
{
    session(provider);
    if (settled_ == &provider) {
        return NGX_OK;
    }
    if (!driver_) {
        if (!is_due(provider)) {
            settled_ = &provider;
            return NGX_OK;
        }
        prepare(provider);
        auto held =
            provider.redis ? std::move(held_) : oidc::Held{session_, {}};
        start(provider,
            std::make_unique<oidc::Renewal>(
                provider.provider, visit_, std::move(held), refresh(provider)));
    }
    auto end = drive();
    if (!end) {
        return NGX_AGAIN;
    }
    settled_ = &provider;
    return take_settled(provider, std::move(*end), is_required);
}

bool Context::is_due(const ProviderConf& provider) const
{
    if (provider.redis) {
        return held_.session || held_.ticket;
    }
    return session_ &&
        oidc::Renewal::is_due(provider.provider.client(), *session_,
            refresh(provider), ngx_time());
}

// No token goes out to where an entry leads, and a provider that has just
// failed one session is not asked for the next.
oidc::Renewal::Refresh Context::refresh(const ProviderConf& provider) const
{
    using enum oidc::Renewal::Refresh;
    if (entered_ != nullptr) {
        return never;
    }
    return ngx_time() < provider.refresh_from ? by_others : asked_for;
}

ngx_int_t Context::take_settled(
    ProviderConf& provider, oidc::Finish end, bool is_required)
{
    session_ = std::move(end.session);
    if (end.error && is_required) {
        return fail(provider.name, std::move(*end.error));
    }
    if (end.error) {
        log(provider.name, *end.error);
    }
    if (end.warning) {
        log(provider.name, *end.warning);
        if (oidc::fault(end.warning->code).status >= NGX_HTTP_BAD_GATEWAY) {
            provider.refresh_from = ngx_time() + oidc::Renewal::peace;
        }
    }
    add_cookies(r_, end.cookies);
    return NGX_OK;
}

ngx_int_t Context::begin_login(ProviderConf& provider)
{
    if (!driver_) {
        prepare(provider);
        start(
            provider, std::make_unique<oidc::Gate>(provider.provider, visit_));
    }
    return run(provider);
}

ngx_int_t Context::enter(
    ProviderConf& provider, Entry entry, std::string_view form)
{
    entered_ = &provider;
    entry_ = entry;
    form_ = form;
    visit_.reply = form_;
    hide_query(r_);
    return go_on();
}

ngx_int_t Context::go_on()
{
    auto& provider = *entered_;
    if (entry_ != Entry::backchannel_logout) {
        auto rc = settle(provider, entry_ != Entry::callback);
        if (rc != NGX_OK) {
            return rc;
        }
    }
    if (!driver_) {
        prepare(provider);
        start(provider, entry_flow());
    }
    return run(provider);
}

std::unique_ptr<oidc::Flow> Context::entry_flow() const
{
    const auto& provider = entered_->provider;
    switch (entry_) {
    case Entry::callback:
        return std::make_unique<oidc::Callback>(provider, visit_, session_);
    case Entry::logout:
        return std::make_unique<oidc::Logout>(provider, visit_, session_);
    case Entry::frontchannel_logout:
        return std::make_unique<oidc::FrontChannelLogout>(
            provider, visit_, session_);
    default:
        return std::make_unique<oidc::BackChannelLogout>(provider, visit_);
    }
}

ngx_int_t Context::refuse_entry(
    const ProviderConf& provider, Entry entry, oidc::Error error)
{
    doing_ = doing(entry);
    return fail(provider.name, std::move(error));
}

// What a flow needs to know of the request; a session needs the cookies alone.
void Context::prepare(ProviderConf& provider)
{
    visit_.method = view(r_->method_name);
    visit_.target = view(r_->unparsed_uri);
    visit_.origin = origin_of(r_);
    visit_.fetch_site = header_of(r_, "sec-fetch-site");
    visit_.fetch_dest = header_of(r_, "sec-fetch-dest");
    visit_.source = header_of(r_, "origin");
    if (visit_.source.empty()) {
        visit_.source = header_of(r_, "referer");
    }
    visit_.cookie_room = cookie_room(r_);
    if (provider.extra_auth_args != nullptr) {
        visit_.extra_args = evaluate(r_, provider.extra_auth_args);
    }
}

void Context::start(ProviderConf& provider, std::unique_ptr<oidc::Flow> flow)
{
    driver_.emplace(r_, provider, std::move(flow));
}

// Nothing while something is waited for.
std::optional<oidc::Finish> Context::drive()
{
    std::optional<oidc::Finish> end;
    try {
        end = driver_->drive();
    } catch (const std::exception& e) {
        end.emplace();
        end->error = oidc::Error{
            oidc::Errc::internal, std::string("internal error, ") + e.what()};
    }
    if (end) {
        doing_ = driver_->doing();
        driver_.reset();
    }
    return end;
}

ngx_int_t Context::run(ProviderConf& provider)
{
    auto end = drive();
    return end ? finish(provider, std::move(*end)) : NGX_AGAIN;
}

ngx_int_t Context::finish(ProviderConf& provider, oidc::Finish finish)
{
    if (finish.error) {
        return fail(provider.name, std::move(*finish.error));
    }
    if (finish.warning) {
        log(provider.name, *finish.warning);
    }
    if (finish.session) {
        session_ = std::move(finish.session);
    }
    return answer(
        r_, finish, entered_ != nullptr && r_->method == NGX_HTTP_POST);
}

ngx_int_t Context::fail(const std::string& provider, oidc::Error error)
{
    log(provider, error);
    error_ = std::move(error);
    return refuse(r_, *error_);
}

void Context::log(const std::string& provider, const oidc::Error& error) const
{
    auto log = r_->connection->log;
    // What nginx did last, in an upstream perhaps, is not what we do.
    auto action = std::exchange(log->action, nullptr);
    ngx_log_error(log_level(oidc::fault(error.code).level), log, 0,
        "oidc: %s while %*s, provider %s", error.detail.c_str(), doing_.size(),
        doing_.data(), oidc::quoted(provider).c_str());
    log->action = action;
}

}
