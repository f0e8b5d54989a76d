// Which contents of a session the configuration uses, and what follows from
// them for the tokens.

#include "conf/conf.h"
#include "core/text.h"

#include "oidc/claims.h"
#include "oidc/session.h"

#include <algorithm>

namespace ngx {
namespace {

// Of "token_refresh auto", before an access token expires.
constexpr Seconds default_refresh = 60s;

void add_claim(std::vector<std::string>& claims, std::string_view name)
{
    if (std::find(claims.begin(), claims.end(), name) == claims.end()) {
        claims.emplace_back(name);
    }
}

// What the variables of the configuration use, of any provider.
oidc::Needs used_by_variables(ngx_conf_t* cf)
{
    constexpr std::string_view prefix = "oidc_claim_";
    auto cmcf = &conf_of<ngx_http_core_main_conf_t>(cf);
    auto variables = static_cast<ngx_http_variable_t*>(cmcf->variables.elts);
    oidc::Needs needs;

    for (ngx_uint_t i = 0; i < cmcf->variables.nelts; i++) {
        auto name = view(variables[i].name);
        if (name.starts_with(prefix)) {
            add_claim(needs.claims, name.substr(prefix.size()));
        }
        needs.id_token |= name == "oidc_id_token";
        needs.access_token |= name == "oidc_access_token";
        needs.userinfo |= name == "oidc_userinfo";
    }
    return needs;
}

// With "token_refresh auto", only tokens that variables show are kept fresh.
Seconds refresh_ahead(const ProviderConf& conf, const oidc::Needs& used)
{
    auto is_used = used.access_token || used.id_token;
    return conf.settings.token_refresh.value_or(
        is_used ? default_refresh : Seconds());
}

// Providers with one issuer and client id share revocation records, which must
// outlast the sessions of all.
Seconds max_session_timeout(const MainConf& conf, const oidc::Client& client)
{
    Seconds max{};
    for (auto provider : conf.providers) {
        const auto& other = provider->client;
        if (other.issuer == client.issuer &&
            other.client_id == client.client_id) {
            max = std::max(max, other.session_timeout);
        }
    }
    return max;
}

void add_session_claims(const ProviderConf& conf, oidc::Needs& needs)
{
    for (const auto& name : conf.settings.session_claims) {
        if (name == "all") {
            needs.all_claims = true;
        } else if (name != "auto") {
            add_claim(needs.claims, oidc::lower_case(name));
        }
    }
}

}

void find_needs(ngx_conf_t* cf, MainConf& conf)
{
    auto used = used_by_variables(cf);
    for (const auto& path : conf.claim_paths) {
        add_claim(used.claims, path);
    }
    for (const auto& name : conf.remote_user_claims) {
        add_claim(used.claims, name);
    }

    for (auto provider : conf.providers) {
        auto& client = provider->client;
        auto& needs = client.needs;
        needs = used;
        client.token_refresh = refresh_ahead(*provider, used);
        needs.id_token |= client.logout_token_hint;
        needs.access_token |= client.revoke_on_logout;
        needs.refresh_token =
            client.token_refresh > Seconds() || client.revoke_on_logout;
        needs.userinfo &= client.userinfo;
        add_claim(needs.claims, "sub");
        add_session_claims(*provider, needs);
        std::sort(needs.claims.begin(), needs.claims.end());
        client.needs_digest = oidc::digest_of_needs(needs);
        client.max_session_timeout = max_session_timeout(conf, client);
    }
}

}
