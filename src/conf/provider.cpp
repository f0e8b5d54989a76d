// What the directives of an oidc_provider block say together: which of them
// contradict each other, and the upstream server.

#include "conf/conf.h"

#include "conf/credentials.h"
#include "core/encoding.h"
#include "core/http.h"
#include "core/url.h"
#include "jose/algorithm.h"

#include <algorithm>

namespace ngx {
namespace {

using oidc::Client;

// RFC 6265bis, 4.1.3
void check_cookie(const Client& client)
{
    if (client.cookie_name.starts_with("__Host-") &&
        (!client.cookie_domain.empty() || client.cookie_path != "/")) {
        invalid("cookie_name", client.cookie_name,
            "a __Host- cookie requires cookie_path \"/\" and no cookie_domain");
    }
    if (client.cookie_partitioned && client.cookie_same_site != "None") {
        invalid("cookie_partitioned", "on", "it needs cookie_samesite none");
    }
}

// RFC 6265, 5.1.4: the callback must receive the cookies of its login.
void check_cookie_path(const ProviderConf& conf)
{
    const auto& path = conf.client.cookie_path;
    if (!oidc::path_matches(conf.callback_path, path)) {
        invalid("cookie_path", path,
            "redirect_uri " + oidc::quoted(conf.callback_path) +
                " is not below it");
    }
}

std::string path_of(const std::string& redirect_uri)
{
    return redirect_uri.starts_with('/') ? redirect_uri :
                                           oidc::parse_url(redirect_uri)->path;
}

// A path has one meaning.
void check_paths(const ProviderConf& conf)
{
    const auto& client = conf.client;
    std::pair<const char*, std::string_view> paths[] = {
        {"redirect_uri", conf.callback_path},
        {"logout_uri", client.logout_uri},
        {"frontchannel_logout_uri", client.frontchannel_logout_uri},
        {"backchannel_logout_uri", client.backchannel_logout_uri},
        {"post_logout_uri", client.post_logout_uri},
    };
    for (auto one = std::begin(paths); one != std::end(paths); one++) {
        for (auto other = std::begin(paths); other != one; other++) {
            auto path = one->second.substr(0, one->second.find_first_of("?#"));
            if (!path.empty() && path == other->second) {
                invalid(one->first, one->second,
                    std::string("it must differ from \"") + other->first +
                        "\"");
            }
        }
    }
}

// "*" trusts every audience of a token whose azp is our client_id. By HMAC, any
// party that has the client_secret could write both.
void complete_audiences(Client& client)
{
    auto& audiences = client.audiences;
    if (std::ranges::find(audiences, "*") == audiences.end()) {
        return;
    }
    if (audiences.size() > 1) {
        invalid("audience", "*", "it must be the only value");
    }
    for (const auto& alg : client.id_token_algs) {
        if (oidc::find_algorithm(alg)->min_secret > 0) {
            invalid("audience", "*",
                "it cannot be used together with id_token_alg " + alg);
        }
    }
    audiences.clear();
    client.trusts_all_audiences = true;
}

// Such a URL of the provider.
bool is_insecure(const std::string& text)
{
    auto url = oidc::parse_url(text);
    return url && !url->secure() && !oidc::is_loopback(url->host);
}

bool is_url_of_provider(const Client& client, const void* member)
{
    const auto& endpoints = client.endpoints;
    const std::string* urls[] = {&client.issuer, &client.config_url,
        &endpoints.authorization_endpoint, &endpoints.token_endpoint,
        &endpoints.jwks_uri, &endpoints.userinfo_endpoint,
        &endpoints.pushed_authorization_request_endpoint,
        &endpoints.end_session_endpoint, &endpoints.revocation_endpoint};
    return std::ranges::find(urls, member) != std::end(urls);
}

// oidc_insecure_http may be written after the URLs.
bool check_schemes(ngx_conf_t* cf, const ProviderConf& conf)
{
    for (const auto& written : conf.positions.all()) {
        if (!is_url_of_provider(conf.client, written.member)) {
            continue;
        }
        const auto& url = *static_cast<const std::string*>(written.member);
        if (is_insecure(url)) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                "invalid \"%s\" %s, it must be an https URL, or http on a "
                "loopback host or with \"oidc_insecure_http on\" in %V:%ui",
                written.name, oidc::quoted(url).c_str(), &written.position.file,
                written.position.line);
            return false;
        }
    }
    return true;
}

void warn_of_http(ngx_conf_t* cf, const ProviderConf& conf)
{
    auto position = *conf.positions.find(&conf.client.insecure_http);
    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
        "\"oidc_insecure_http\" in %V:%ui allows everybody on the network of "
        "oidc_provider \"%s\" to read its secrets and to forge logins",
        &position.file, position.line, conf.name.c_str());
}

bool check_transport(ngx_conf_t* cf, const ProviderConf& conf)
{
    if (!conf.client.insecure_http) {
        return check_schemes(cf, conf);
    }
    warn_of_http(cf, conf);
    return true;
}

// A session_timeout of more than a day needs no session_max_lifetime.
Seconds max_lifetime(const ProviderConf& conf)
{
    constexpr Seconds day = 24h;
    return conf.settings.session_max_lifetime.value_or(
        std::max(conf.client.session_timeout, day));
}

void complete_client(ngx_conf_t* cf, ProviderConf& conf)
{
    conf.client.name = conf.name;
    read_credentials(cf, conf);
    conf.callback_path = path_of(conf.client.redirect_uri);
    check_cookie(conf.client);
    check_cookie_path(conf);
    check_paths(conf);
    complete_audiences(conf.client);
    conf.client.session_max_lifetime = max_lifetime(conf);
}

bool set_trust(
    ngx_conf_t* cf, UpstreamServer& server, ProviderSettings& settings)
{
    auto main = &conf_of<MainConf>(cf);
    auto depth = settings.ssl_verify_depth;
    auto& certificates = settings.ssl_trusted_certificate;

    if (certificates.len > 0) {
        return trust_file(cf, server, certificates, depth);
    }
    // Revocation lists of its own need a certificate store of its own.
    trust_system(server,
        settings.ssl_crl.len > 0 ? *make<SystemTrust>(cf->pool) :
                                   main->system_trust,
        depth);
    return true;
}

bool make_upstream_server(ngx_conf_t* cf, ProviderConf& conf)
{
    auto main = &conf_of<MainConf>(cf);
    auto& settings = conf.settings;
    auto& server = conf.upstream_server;
    server.names = &main->names;
    server.upstream.connect_timeout = settings.connect_timeout;
    server.upstream.read_timeout = settings.read_timeout;
    configure_upstream_server(cf, server);

    check_pem(cf, "ssl_trusted_certificate", settings.ssl_trusted_certificate,
        "CERTIFICATE");
    check_pem(cf, "ssl_crl", settings.ssl_crl, "X509 CRL");
    return set_client_certificate(cf, conf) &&
        set_trust(cf, server, settings) &&
        set_revocations(cf, server, settings.ssl_crl);
}

}

char* complete_provider(ngx_conf_t* cf, ProviderConf& conf)
{
    if (!check_transport(cf, conf)) {
        return fail();
    }
    complete_client(cf, conf);
    conf.session_keys = read_session_keys(cf, conf);
    warn_of_mistakes(cf, conf);
    return make_upstream_server(cf, conf) ? good() : fail();
}

}
