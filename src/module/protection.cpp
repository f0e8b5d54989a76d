#include "module/protection.h"

#include "module/request.h"

namespace ngx {

ProviderConf* protecting_provider(ngx_http_request_t* r, bool& unknown)
{
    const auto& conf = conf_of<LocationConf>(r);
    unknown = false;

    if (!conf.on || conf.has(Mode::off)) {
        return nullptr;
    }
    if (conf.provider != nullptr) {
        return conf.provider;
    }
    auto name = evaluate(r, conf.auth_oidc);
    if (name == "off") {
        return nullptr;
    }
    auto provider = conf_of<MainConf>(r).find(name);
    unknown = provider == nullptr;
    return provider;
}

}
