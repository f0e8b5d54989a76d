#include "ngx/handler.h"

#include "core/encode.h"
#include "flow/callback.h"
#include "flow/gate.h"

namespace ngx {
namespace {

using oidc::Errc;
using oidc::Error;

ngx_uint_t log_level(oidc::Level level)
{
    return level == oidc::Level::warn ? NGX_LOG_WARN : NGX_LOG_ERR;
}

// The one of a server's providers that a callback is for: by its path, and,
// where several share that, by whose key sealed the state.
ProviderConf* called_back(ngx_http_request_t* r)
{
    ProviderConf* candidate = nullptr;

    for (auto provider : server_conf(r)->providers) {
        if (provider->callback_path != view(r->uri)) {
            continue;
        }
        oidc::Visit visit;
        visit.query = view(r->args);
        if (candidate != nullptr &&
            !oidc::Callback::is_for(provider->provider, visit)) {
            continue;
        }
        candidate = provider;
    }
    return candidate;
}

// Completes what a flow needs to know of the request; a session needs less.
std::optional<Error> prepare(
    ngx_http_request_t* r, ProviderConf& provider, oidc::Visit& visit)
{
    auto origin = origin_of(r);
    if (!origin) {
        return std::move(origin).error();
    }
    visit.origin = std::move(*origin);
    visit.target = view(r->unparsed_uri);
    visit.cookie_room = cookie_room(r);
    if (provider.extra_auth_args != nullptr) {
        visit.extra_args = evaluate(r, provider.extra_auth_args);
    }
    return {};
}

// Refuses in place of a flow that cannot even begin.
class Refusal : public oidc::Flow {
public:
    Refusal(std::string_view doing, Error error) :
        doing_(doing), error_(std::move(error))
    {
    }

    oidc::Step start(const oidc::World&) override
    {
        oidc::Finish finish;
        finish.error = error_;
        return finish;
    }

    oidc::Step resume(const oidc::World& world, oidc::Answer) override
    {
        return start(world);
    }

    std::string_view doing() const override { return doing_; }

private:
    std::string_view doing_;
    Error error_;
};

std::unique_ptr<oidc::Flow> make_callback(
    ngx_http_request_t* r, ProviderConf& provider, Context& context)
{
    constexpr std::string_view doing = "handling the callback";

    context.query = text(r->args);
    context.visit.query = context.query;
    hide_query(r);
    if (r->method != NGX_HTTP_GET) {
        return std::make_unique<Refusal>(doing,
            Error{Errc::callback_malformed,
                "client sent method " + oidc::quoted(view(r->method_name))});
    }
    const auto& session = context.session(provider);
    if (auto error = prepare(r, provider, context.visit)) {
        return std::make_unique<Refusal>(doing, std::move(*error));
    }
    return std::make_unique<oidc::Callback>(
        provider.provider, context.visit, session);
}

std::unique_ptr<oidc::Flow> make_gate(
    ngx_http_request_t* r, ProviderConf& provider, Context& context)
{
    if (auto error = prepare(r, provider, context.visit)) {
        return std::make_unique<Refusal>(
            "beginning a login", std::move(*error));
    }
    return std::make_unique<oidc::Gate>(provider.provider, context.visit);
}

}

Context::Context(ngx_http_request_t* r) : r_(r)
{
    visit.cookies = cookies_of(r);
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
            oidc::Session::open(visit.cookies, provider.provider, ngx_time());
    }
    return session_;
}

template <class MakeFlow>
ngx_int_t Context::run(ProviderConf& provider, MakeFlow make_flow)
{
    if (!driver_) {
        auto flow = make_flow(r_, provider, *this);
        doing_ = flow->doing();
        driver_.emplace(r_, provider, std::move(flow));
    }
    auto end = driver_->drive();
    if (!end) {
        return NGX_AGAIN;
    }
    driver_.reset();
    return finish(provider, std::move(*end));
}

ngx_int_t Context::finish(ProviderConf& provider, oidc::Finish finish)
{
    if (finish.error) {
        log(provider, *finish.error);
        error_ = std::move(finish.error);
        return refuse(r_, *error_);
    }
    if (finish.session) {
        session_ = std::move(finish.session);
    }
    return redirect(r_, finish);
}

void Context::log(const ProviderConf& provider, const oidc::Error& error)
{
    ngx_log_error(log_level(oidc::fault(error.code).level), r_->connection->log,
        0, "oidc: %s while %*s, provider \"%s\"", error.detail.c_str(),
        doing_.size(), doing_.data(), provider.name.c_str());
}

ProviderConf* protecting_provider(ngx_http_request_t* r, bool& unknown)
{
    auto conf = location_conf(r);
    unknown = false;

    if (!conf->on || conf->mode == static_cast<ngx_uint_t>(Mode::off)) {
        return nullptr;
    }
    if (conf->provider != nullptr) {
        return conf->provider;
    }
    auto name = evaluate(r, conf->auth_oidc);
    if (name == "off") {
        return nullptr;
    }
    auto provider = main_conf(r)->find(name);
    unknown = provider == nullptr;
    return provider;
}

ngx_int_t entry_handler(ngx_http_request_t* r)
{
    if (server_conf(r)->providers.empty()) {
        return NGX_DECLINED;
    }
    // A callback that goes on hides its query: find its provider only once.
    auto context = Context::find(r);
    if (context != nullptr && context->called_back != nullptr) {
        return context->run(*context->called_back, make_callback);
    }
    auto provider = called_back(r);
    if (provider == nullptr) {
        return NGX_DECLINED;
    }
    auto& fresh = Context::get(r);
    fresh.called_back = provider;
    return fresh.run(*provider, make_callback);
}

ngx_int_t access_handler(ngx_http_request_t* r)
{
    bool unknown;
    auto provider = protecting_provider(r, unknown);
    if (unknown) {
        auto name = evaluate(r, location_conf(r)->auth_oidc);
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
            "oidc: \"auth_oidc\" has no oidc_provider %s",
            oidc::quoted(name).c_str());
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (provider == nullptr) {
        return NGX_DECLINED;
    }
    auto& context = Context::get(r);
    auto verify =
        location_conf(r)->mode == static_cast<ngx_uint_t>(Mode::verify);
    if (context.session(*provider)) {
        return verify ? NGX_DECLINED : NGX_OK;
    }
    return verify ? NGX_DECLINED : context.run(*provider, make_gate);
}

}
