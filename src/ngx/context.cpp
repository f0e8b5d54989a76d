#include "ngx/context.h"

#include "core/encode.h"
#include "flow/callback.h"
#include "flow/gate.h"
#include "ngx/request.h"

namespace ngx {
namespace {

ngx_uint_t log_level(oidc::Level level)
{
    return level == oidc::Level::warn ? NGX_LOG_WARN : NGX_LOG_ERR;
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
        session_ =
            oidc::Session::open(visit_.cookies, provider.provider, ngx_time());
    }
    return session_;
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

ngx_int_t Context::handle_callback(
    ProviderConf& provider, std::string_view reply)
{
    called_back_ = &provider;
    reply_ = reply;
    visit_.reply = reply_;
    hide_query(r_);
    prepare(provider);
    start(provider,
        std::make_unique<oidc::Callback>(
            provider.provider, visit_, session(provider)));
    return run(provider);
}

ngx_int_t Context::refuse_callback(
    const ProviderConf& provider, oidc::Error error)
{
    doing_ = "handling the callback";
    return fail(provider.name, std::move(error));
}

// What a flow needs to know of the request; a session needs the cookies alone.
void Context::prepare(ProviderConf& provider)
{
    visit_.method = view(r_->method_name);
    visit_.target = view(r_->unparsed_uri);
    visit_.origin = origin_of(r_);
    visit_.cookie_room = cookie_room(r_);
    if (provider.extra_auth_args != nullptr) {
        visit_.extra_args = evaluate(r_, provider.extra_auth_args);
    }
}

void Context::start(ProviderConf& provider, std::unique_ptr<oidc::Flow> flow)
{
    driver_.emplace(r_, provider, std::move(flow));
}

ngx_int_t Context::run(ProviderConf& provider)
{
    std::optional<oidc::Finish> end;
    try {
        end = driver_->drive();
    } catch (const std::exception& e) {
        end.emplace();
        end->error = oidc::Error{
            oidc::Errc::internal, std::string("internal error, ") + e.what()};
    }
    if (!end) {
        return NGX_AGAIN;
    }
    doing_ = driver_->doing();
    driver_.reset();
    return finish(provider, std::move(*end));
}

ngx_int_t Context::finish(ProviderConf& provider, oidc::Finish finish)
{
    if (finish.error) {
        return fail(provider.name, std::move(*finish.error));
    }
    if (finish.session) {
        session_ = std::move(finish.session);
    }
    // RFC 9700, 4.12: a form of the provider's is not to be posted on.
    auto posted = called_back_ != nullptr && r_->method == NGX_HTTP_POST;
    return redirect(
        r_, finish, posted ? NGX_HTTP_SEE_OTHER : NGX_HTTP_MOVED_TEMPORARILY);
}

ngx_int_t Context::fail(const std::string& provider, oidc::Error error)
{
    auto log = r_->connection->log;
    // What nginx did last, in an upstream perhaps, is not what we do.
    auto action = std::exchange(log->action, nullptr);
    ngx_log_error(log_level(oidc::fault(error.code).level), log, 0,
        "oidc: %s while %*s, provider %s", error.detail.c_str(), doing_.size(),
        doing_.data(), oidc::quoted(provider).c_str());
    log->action = action;

    error_ = std::move(error);
    return refuse(r_, *error_);
}

}
