// What an oidc_provider block means: every value checked, every default set,
// and the core's Client made of it.

#include "conf/conf.h"

#include "conf/values.h"
#include "core/encoding.h"
#include "core/url.h"
#include "jose/algorithm.h"
#include "jose/jwe.h"
#include "oidc/authorize.h"

#include <algorithm>
#include <sstream>

namespace ngx {
namespace {

constexpr std::size_t max_session_keys = 16;
constexpr time_t max_skew = 3600;
constexpr time_t default_max_lifetime = 24 * 3600;
constexpr time_t max_session = 10 * 365 * 24 * 3600;

// Several blocks may share a file: the first one speaks for all.
Readers readers_of(
    ngx_conf_t* cf, const ProviderConf& conf, ngx_str_t ProviderFields::*file)
{
    auto main = static_cast<MainConf*>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_oidc_module));
    auto known = std::any_of(main->providers.begin(), main->providers.end(),
        [&](const ProviderConf* other) {
            return other != &conf && view(other->*file) == view(conf.*file);
        });
    return known ? Readers::ignored : Readers::warned_of;
}

std::string read_secret(ngx_conf_t* cf, const ProviderConf& conf,
    const char* directive, ngx_str_t ProviderFields::*file)
{
    return ngx::read_secret(
        cf, directive, conf.*file, readers_of(cf, conf, file));
}

void check_issuer(const ProviderConf& conf)
{
    if (conf.issuer.len == 0) {
        throw Invalid("oidc_provider \"" + conf.name +
            "\" has no \"issuer\", specify the provider's issuer URL");
    }
    // Discovery, 3: no query and no fragment
    auto url = oidc::parse_url(view(conf.issuer));
    if (!url || url->has_query || !is_safe(*url)) {
        invalid("issuer", view(conf.issuer),
            "it must be an https URL without query, or http on a loopback "
            "host");
    }
}

void check_client_id(const ProviderConf& conf)
{
    if (conf.client_id.len == 0) {
        throw Invalid("oidc_provider \"" + conf.name +
            "\" has no \"client_id\", specify the one registered at the "
            "provider");
    }
    if (!is_printable(view(conf.client_id))) { // RFC 6749, appendix A.1
        invalid("client_id", view(conf.client_id), "it must be ASCII");
    }
}

std::string read_client_secret(ngx_conf_t* cf, const ProviderConf& conf)
{
    if (conf.client_secret.data != nullptr && conf.client_secret.len == 0) {
        invalid("client_secret", "", "omit it for a public client");
    }
    if (conf.client_secret_file.len == 0) {
        return text(conf.client_secret);
    }
    if (conf.client_secret.len > 0) {
        throw Invalid("oidc_provider \"" + conf.name +
            "\" has both \"client_secret\" and \"client_secret_file\", specify "
            "only one");
    }
    auto secret = read_secret(
        cf, conf, "client_secret_file", &ProviderFields::client_secret_file);
    secret.erase(secret.find_last_not_of("\r\n") + 1);
    if (secret.empty()) {
        invalid("client_secret_file", view(conf.client_secret_file),
            "the file contains no secret");
    }
    return secret;
}

oidc::Endpoints check_endpoints(const ProviderConf& conf)
{
    return {
        check_endpoint("authorization_endpoint", conf.authorization_endpoint),
        check_endpoint("token_endpoint", conf.token_endpoint),
        check_endpoint("jwks_uri", conf.jwks_uri),
        check_endpoint("userinfo_endpoint", conf.userinfo_endpoint),
        check_endpoint("pushed_authorization_request_endpoint",
            conf.pushed_authorization_request_endpoint),
        check_endpoint("end_session_endpoint", conf.end_session_endpoint),
        check_endpoint("revocation_endpoint", conf.revocation_endpoint),
    };
}

std::optional<oidc::PrivateKey> read_client_key(
    ngx_conf_t* cf, const ProviderConf& conf)
{
    if (conf.client_key.len == 0) {
        return {};
    }
    std::string why;
    oidc::Secret content(
        read_secret(cf, conf, "client_key", &ProviderFields::client_key));
    auto key = oidc::PrivateKey::parse(content.reveal(), why);
    if (!key) {
        invalid("client_key", view(conf.client_key),
            "it must be a private key in PEM or JWK format, but it is a key " +
                why);
    }
    return key;
}

// A method can be chosen before what it needs is there, but not used.
void check_client_auth(const oidc::Client& client)
{
    using oidc::ClientAuth;
    auto auth = client.client_auth;
    auto complain = [&](std::string_view advice) {
        throw Invalid("oidc_provider \"" + client.name +
            "\" has a \"client_auth\" that needs " + std::string(advice));
    };
    if ((auth == ClientAuth::client_secret_basic ||
            auth == ClientAuth::client_secret_post ||
            auth == ClientAuth::client_secret_jwt) &&
        client.client_secret.empty()) {
        complain("a \"client_secret\"");
    }
    auto least = oidc::find_algorithm("HS256")->min_secret;
    if (auth == ClientAuth::client_secret_jwt &&
        client.client_secret.reveal().size() < least) {
        complain("a \"client_secret\" of at least " + std::to_string(least) +
            " bytes");
    }
    if (auth == ClientAuth::private_key_jwt &&
        (!client.key || client.key->algorithm({}) == nullptr)) {
        complain("a \"client_key\" that can sign");
    }
    if (oidc::is_tls(auth) && !client.has_certificate) {
        complain("a \"client_certificate\"");
    }
}

std::vector<std::string> make_encrypted_algs(const ProviderConf& conf)
{
    const auto& client = conf.client;
    auto algs = words(conf.id_token_encrypted_alg);
    for (const auto& alg : algs) {
        if (!oidc::is_known_encryption_alg(alg)) {
            invalid(
                "id_token_encrypted_alg", alg, "use RSA-OAEP, ECDH-ES or dir");
        }
        if (alg != "dir" && (!client.key || client.key->encryption() != alg)) {
            invalid("id_token_encrypted_alg", alg,
                "it needs an RSA client_key for RSA-OAEP, an EC client_key for "
                "ECDH-ES");
        }
        if (alg == "dir" &&
            client.client_secret.reveal().size() < oidc::min_dir_secret) {
            invalid("id_token_encrypted_alg", alg,
                "it needs a client_secret of at least " +
                    std::to_string(oidc::min_dir_secret) + " bytes");
        }
    }
    return algs;
}

// The path, once the URI is fit to be one.
std::string check_redirect_uri(const std::string& uri)
{
    if (uri.starts_with('/')) {
        auto url = oidc::parse_url("https://host" + uri);
        if (!url || url->has_query || !is_plain_path(url->path)) {
            invalid("redirect_uri", uri,
                "it must be a plain path without query, escapes or dot "
                "segments");
        }
        return uri;
    }
    auto url = oidc::parse_url(uri);
    if (!url || url->has_query || !is_safe(*url) || !is_plain_path(url->path)) {
        invalid("redirect_uri", uri,
            "it must be a path such as \"/oidc_callback\", or an https URL "
            "without query");
    }
    return url->path;
}

// RFC 6749, 3.3; "openid" makes the request one of OpenID Connect.
std::string make_scope(const ProviderConf& conf)
{
    std::string scope = "openid";
    for (const auto& argument : words(conf.scope)) {
        // Plus takes them as one argument, too.
        std::istringstream list(argument);
        for (std::string word; list >> word;) {
            if (!is_printable(word) ||
                word.find_first_of("\"\\") != word.npos) {
                invalid("scope", word,
                    "it contains a character not allowed in a scope");
            }
            if (word != "openid") {
                scope += " " + word;
            }
        }
    }
    return scope;
}

void check_extra_args(const ProviderConf& conf)
{
    auto value = conf.extra_auth_args;
    if (value == nullptr || value->lengths != nullptr) {
        return;
    }
    auto parameters = oidc::parse_form(view(value->value));
    if (!parameters) {
        invalid("extra_auth_args", view(value->value),
            "it must be form-urlencoded, such as \"prompt=login\"");
    }
    for (const auto& parameter : *parameters) {
        if (oidc::is_reserved_parameter(parameter.name)) {
            invalid("extra_auth_args", view(value->value),
                "\"" + parameter.name + "\" is always set by the module");
        }
    }
}

std::vector<std::string> make_algs(const ProviderConf& conf)
{
    auto algs = words(conf.id_token_alg);
    if (algs.empty()) {
        return {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
            "ES384", "ES512", "EdDSA"};
    }
    for (const auto& alg : algs) {
        auto algorithm = oidc::find_algorithm(alg);
        if (algorithm == nullptr) {
            invalid("id_token_alg", alg,
                "use one of: RS256, RS384, RS512, PS256, PS384, PS512, ES256, "
                "ES384, ES512, EdDSA, HS256, HS384, HS512");
        }
        if (conf.client.client_secret.reveal().size() < algorithm->min_secret) {
            invalid("id_token_alg", alg,
                "it needs a client_secret of at least " +
                    std::to_string(algorithm->min_secret) + " bytes");
        }
    }
    return algs;
}

bool is_domain(std::string_view domain)
{
    if (domain.starts_with('.')) {
        domain.remove_prefix(1);
    }
    return oidc::parse_authority(domain) && oidc::host_of(domain) == domain &&
        !domain.starts_with('[');
}

// RFC 6265bis, 4.1.3
void check_cookie(const oidc::Client& client)
{
    const auto& name = client.cookie_name;
    if (!is_token(name)) {
        invalid("cookie_name", name,
            "it contains a character not allowed in a cookie name");
    }
    if (name.starts_with("__Host-") &&
        (!client.cookie_domain.empty() || client.cookie_path != "/")) {
        invalid("cookie_name", name,
            "a __Host- cookie requires cookie_path \"/\" and no cookie_domain");
    }
    if (!client.cookie_domain.empty() && !is_domain(client.cookie_domain)) {
        invalid("cookie_domain", client.cookie_domain,
            "it must be a domain such as \"example.com\"");
    }
    if (client.cookie_partitioned && client.cookie_same_site != "None") {
        invalid("cookie_partitioned", "on", "it needs cookie_samesite none");
    }
    if (!client.cookie_path.starts_with('/') ||
        !is_printable(client.cookie_path) ||
        client.cookie_path.find(';') != client.cookie_path.npos) {
        invalid("cookie_path", client.cookie_path,
            "it must begin with \"/\" and contain no \";\"");
    }
}

// RFC 6265, 5.1.4: the callback must receive the cookies of its login.
void check_cookie_path(const ProviderConf& conf)
{
    std::string_view path = conf.client.cookie_path;
    std::string_view callback = conf.callback_path;
    if (!callback.starts_with(path) ||
        (!path.ends_with('/') && callback.size() > path.size() &&
            callback[path.size()] != '/')) {
        invalid("cookie_path", path,
            "redirect_uri " + oidc::quoted(callback) + " is not below it");
    }
}

int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = static_cast<char>(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

oidc::Secret parse_session_key(const ngx_str_t& file, std::string_view line)
{
    std::string key;
    auto good = line.size() == 2 * oidc::KeyRing::master_size;
    for (std::size_t i = 0; good && i < line.size(); i += 2) {
        auto high = hex_value(line[i]);
        auto low = hex_value(line[i + 1]);
        good = high >= 0 && low >= 0;
        key += static_cast<char>(high << 4 | low);
    }
    if (!good) {
        invalid("session_key", view(file),
            "each line must be 64 hex digits, as \"openssl rand -hex 32\" "
            "prints them");
    }
    if (key.find_first_not_of(key.front()) == key.npos) {
        invalid("session_key", view(file),
            "a key of identical bytes is not secret, generate one with "
            "\"openssl rand -hex 32\"");
    }
    return oidc::Secret(std::move(key));
}

std::vector<oidc::Secret> read_session_keys(
    ngx_conf_t* cf, const ProviderConf& conf)
{
    std::vector<oidc::Secret> keys;
    if (conf.session_key.len == 0) {
        return keys;
    }
    std::istringstream lines(
        read_secret(cf, conf, "session_key", &ProviderFields::session_key));
    for (std::string line; std::getline(lines, line);) {
        line.erase(line.find_last_not_of(" \t\r") + 1);
        if (!line.empty()) {
            keys.push_back(parse_session_key(conf.session_key, line));
        }
    }
    if (keys.empty() || keys.size() > max_session_keys) {
        invalid("session_key", view(conf.session_key),
            "it must contain 1 to 16 keys, one per line");
    }
    return keys;
}

void check_times(const ProviderConf& conf)
{
    auto complain = [](const char* name, const char* advice) {
        throw Invalid(std::string("invalid \"") + name + "\", " + advice);
    };
    if (conf.session_timeout <= 0) {
        complain("session_timeout", "it must be longer than 0");
    }
    for (auto [name, value] :
        {std::pair("session_timeout", conf.session_timeout),
            std::pair("session_idle_timeout", conf.session_idle_timeout),
            std::pair("session_max_lifetime", conf.session_max_lifetime)}) {
        if (value > max_session) {
            complain(name, "it must not exceed ten years");
        }
    }
    if (conf.session_max_lifetime == 0) {
        complain(
            "session_max_lifetime", "it must be longer than 0, or \"off\"");
    }
    if (conf.token_refresh == 0) {
        complain("token_refresh",
            "it must be longer than 0, or \"auto\" or \"off\"");
    }
    if (conf.pre_auth_timeout <= 0) {
        complain("pre_auth_timeout", "it must be longer than 0");
    }
    if (conf.clock_skew > max_skew) {
        complain("clock_skew", "it must not exceed 1h");
    }
    if (conf.connect_timeout == 0) {
        complain("connect_timeout", "it must be longer than 0");
    }
    if (conf.read_timeout == 0) {
        complain("read_timeout", "it must be longer than 0");
    }
}

void set_defaults(ProviderConf& conf)
{
    ngx_conf_init_uint_value(conf.client_auth, 0);
    ngx_conf_init_value(conf.pkce, 1);
    ngx_conf_init_uint_value(conf.response_mode, 0);
    ngx_conf_init_uint_value(conf.pushed_authorization, 0);
    ngx_conf_init_value(conf.userinfo, 0);
    ngx_conf_init_uint_value(conf.cookie_samesite, 0);
    ngx_conf_init_value(conf.cookie_partitioned, 0);
    ngx_conf_init_value(conf.session_timeout, 8 * 3600);
    ngx_conf_init_value(conf.session_idle_timeout, 0);
    // A session that was given a longer life at once has it.
    ngx_conf_init_value(conf.session_max_lifetime,
        ngx_max(conf.session_timeout, default_max_lifetime));
    ngx_conf_init_uint_value(conf.token_refresh, refresh_auto);
    ngx_conf_init_value(conf.logout_token_hint, 0);
    ngx_conf_init_value(conf.revoke_on_logout, 0);
    ngx_conf_init_value(conf.pre_auth_timeout, 600);
    ngx_conf_init_value(conf.clock_skew, 60);
    ngx_conf_init_uint_value(conf.ssl_verify_depth, 5);
    ngx_conf_init_msec_value(conf.connect_timeout, 10000);
    ngx_conf_init_msec_value(conf.read_timeout, 10000);
}

std::string check_path(const char* directive, const ngx_str_t& value)
{
    auto path = text(value);
    auto url = oidc::parse_url("https://host" + path);
    if (!path.empty() &&
        (!path.starts_with('/') || !url || url->has_query ||
            !is_plain_path(url->path))) {
        invalid(directive, path,
            "it must be a plain path without query, escapes or dot segments");
    }
    return path;
}

// RP-Initiated Logout 1.0, 2.1: the provider knows it to the letter.
std::string check_post_logout_uri(const ProviderConf& conf)
{
    auto value = view(conf.post_logout_uri);
    auto url = oidc::parse_url(
        (value.starts_with('/') ? "https://host" : "") + std::string(value));
    if (!value.empty() && (!url || !is_safe(*url))) {
        invalid("post_logout_uri", value,
            "it must be a path such as \"/logged_out\", or an https URL");
    }
    return std::string(value);
}

void set_logout(ProviderConf& conf)
{
    auto& client = conf.client;
    client.logout_uri = check_path("logout_uri", conf.logout_uri);
    client.post_logout_uri = check_post_logout_uri(conf);
    client.logout_token_hint = conf.logout_token_hint;
    client.frontchannel_logout_uri =
        check_path("frontchannel_logout_uri", conf.frontchannel_logout_uri);
    client.backchannel_logout_uri =
        check_path("backchannel_logout_uri", conf.backchannel_logout_uri);
    client.revoke_on_logout = conf.revoke_on_logout;
}

// One path can mean one thing alone.
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
            auto path = one->second.substr(0, one->second.find('?'));
            if (!path.empty() && path == other->second) {
                invalid(one->first, one->second,
                    std::string("it must differ from \"") + other->first +
                        "\"");
            }
        }
    }
}

void make_client(ngx_conf_t* cf, ProviderConf& conf)
{
    constexpr const char* same_site[] = {"Lax", "Strict", "None"};
    auto& client = conf.client;

    check_issuer(conf);
    check_client_id(conf);
    client.name = conf.name;
    client.issuer = text(conf.issuer);
    client.client_id = text(conf.client_id);
    client.client_secret = oidc::Secret(read_client_secret(cf, conf));
    client.client_auth = static_cast<oidc::ClientAuth>(conf.client_auth);
    client.key = read_client_key(cf, conf);
    client.has_certificate = conf.client_certificate.len > 0;
    check_client_auth(client);
    client.config_url = check_endpoint("config_url", conf.config_url);
    client.endpoints = check_endpoints(conf);
    client.redirect_uri = text_or(conf.redirect_uri, "/oidc_callback");
    conf.callback_path = check_redirect_uri(client.redirect_uri);
    client.scope = make_scope(conf);
    check_extra_args(conf);
    client.pkce = conf.pkce;
    client.response_mode = static_cast<oidc::ResponseMode>(conf.response_mode);
    client.pushed_authorization =
        static_cast<oidc::PushedAuthorization>(conf.pushed_authorization);
    client.userinfo = conf.userinfo;
    client.id_token_algs = make_algs(conf);
    client.id_token_encrypted_algs = make_encrypted_algs(conf);
    client.audiences = words(conf.audience);

    client.cookie_name = text_or(conf.cookie_name, "NGX_OIDC_SESSION");
    client.cookie_domain = text(conf.cookie_domain);
    client.cookie_path = text_or(conf.cookie_path, "/");
    client.cookie_same_site = same_site[conf.cookie_samesite];
    client.cookie_partitioned = conf.cookie_partitioned;
    check_cookie(client);
    check_cookie_path(conf);

    set_logout(conf);
    check_paths(conf);
    check_times(conf);
    client.session_timeout = Seconds(conf.session_timeout);
    client.session_idle_timeout = Seconds(conf.session_idle_timeout);
    client.session_max_lifetime =
        conf.session_max_lifetime == max_lifetime_off ?
        0s :
        Seconds(conf.session_max_lifetime);
    client.pre_auth_timeout = Seconds(conf.pre_auth_timeout);
    client.clock_skew = Seconds(conf.clock_skew);
}

char* fail()
{
    return static_cast<char*>(NGX_CONF_ERROR);
}

bool set_client_certificate(ngx_conf_t* cf, ProviderConf& conf)
{
    if (conf.client_certificate.len == 0 &&
        conf.client_certificate_key.len == 0) {
        return true;
    }
    if (conf.client_certificate.len == 0 ||
        conf.client_certificate_key.len == 0) {
        throw Invalid("oidc_provider \"" + conf.name +
            "\" needs both \"client_certificate\" and "
            "\"client_certificate_key\"");
    }
    check_pem(cf, "client_certificate", conf.client_certificate, "CERTIFICATE");
    if (readers_of(cf, conf, &ProviderFields::client_certificate_key) ==
        Readers::warned_of) {
        warn_of_readers(
            cf, "client_certificate_key", conf.client_certificate_key);
    }
    return present_certificate(cf, conf.upstream_server,
        conf.client_certificate, conf.client_certificate_key);
}

bool make_upstream_server(ngx_conf_t* cf, ProviderConf& conf)
{
    auto main = static_cast<MainConf*>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_oidc_module));
    auto& upstream_server = conf.upstream_server;
    upstream_server.names = &main->names;
    upstream_server.upstream.connect_timeout = conf.connect_timeout;
    upstream_server.upstream.read_timeout = conf.read_timeout;
    configure_upstream_server(cf, upstream_server);

    auto depth = conf.ssl_verify_depth;
    check_pem(cf, "ssl_trusted_certificate", conf.ssl_trusted_certificate,
        "CERTIFICATE");
    check_pem(cf, "ssl_crl", conf.ssl_crl, "X509 CRL");
    if (!set_client_certificate(cf, conf)) {
        return false;
    }

    if (conf.ssl_crl.len > 0 && conf.ssl_trusted_certificate.len == 0) {
        // Lists of its own ask for a store of its own.
        trust_system(upstream_server, *make<SystemTrust>(cf->pool), depth);
    } else if (conf.ssl_trusted_certificate.len == 0) {
        trust_system(upstream_server, main->system_trust, depth);
    } else if (!trust_file(
                   cf, upstream_server, conf.ssl_trusted_certificate, depth)) {
        return false;
    }
    return set_revocations(cf, upstream_server, conf.ssl_crl);
}

}

char* complete_provider(ngx_conf_t* cf, ProviderConf& conf)
{
    try {
        set_defaults(conf);
        make_client(cf, conf);
        conf.session_keys = read_session_keys(cf, conf);
        return make_upstream_server(cf, conf) ? NGX_CONF_OK : fail();
    } catch (const Invalid& error) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", error.what());
        return fail();
    }
}

}
