// Values of an oidc_provider that are valid, but usually a mistake: nginx
// starts with a warning.

#include "conf/conf.h"
#include "core/encoding.h"
#include "core/text.h"

#include <algorithm>
#include <optional>

namespace ngx {
namespace {

using Warning = std::optional<std::string>;

Warning judge_discovery_url(const ProviderConf& conf)
{
    const auto& issuer = conf.client.issuer;
    if (issuer.find("/.well-known/") == issuer.npos) {
        return {};
    }
    return "\"issuer\" " + oidc::quoted(issuer) +
        " is the URL of a document, which is usually the issuer followed by "
        "\"/.well-known/openid-configuration\"";
}

// Entra ID: these tokens have the issuer of the user's own tenant.
bool is_tenant_placeholder(std::string_view part)
{
    return part == "common" || part == "organizations" || part == "consumers" ||
        part.find_first_of("{}<>") != part.npos;
}

Warning judge_tenant(const ProviderConf& conf)
{
    std::string_view rest = conf.client.issuer;
    while (!rest.empty()) {
        if (is_tenant_placeholder(oidc::take_until(rest, '/'))) {
            return "\"issuer\" " + oidc::quoted(conf.client.issuer) +
                " names no single tenant, and no ID token has it; use the "
                "issuer with the identifier of the tenant";
        }
    }
    return {};
}

Warning judge_secret(const ProviderConf& conf)
{
    constexpr std::string_view starts[] = {"/", "./", "../", "~/", "file:"};
    auto secret = conf.client.client_secret.reveal();
    auto is_file = conf.settings.client_secret_file.len == 0 &&
        std::ranges::any_of(
            starts, [&](auto start) { return secret.starts_with(start); });
    if (!is_file) {
        return {};
    }
    return "\"client_secret\" looks like the name of a file, use "
           "\"client_secret_file\" to read the secret from it";
}

Warning judge_scope(const ProviderConf& conf)
{
    std::string_view rest = conf.client.scope;
    while (!rest.empty()) {
        auto scope = oidc::take_until(rest, ' ');
        if (scope.find_first_of(",+") != scope.npos &&
            scope.find(':') == scope.npos) {
            return "\"scope\" " + oidc::quoted(scope) +
                " is one scope, separate scopes by spaces";
        }
    }
    return {};
}

Warning judge_post_logout_uri(const ProviderConf& conf)
{
    if (conf.client.post_logout_uri.empty() ||
        !conf.client.logout_uri.empty()) {
        return {};
    }
    return "\"post_logout_uri\" has no effect without \"logout_uri\"";
}

constexpr Warning (*judges[])(const ProviderConf&) = {judge_discovery_url,
    judge_tenant, judge_secret, judge_scope, judge_post_logout_uri};

}

void warn_of_mistakes(ngx_conf_t* cf, const ProviderConf& conf)
{
    for (auto judge : judges) {
        if (auto warning = judge(conf)) {
            ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "oidc_provider \"%s\": %s",
                conf.name.c_str(), warning->c_str());
        }
    }
}

}
