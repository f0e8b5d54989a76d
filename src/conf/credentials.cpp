#include "conf/credentials.h"
#include "core/text.h"

#include "core/encoding.h"
#include "jose/algorithm.h"
#include "jose/jwe.h"

#include <algorithm>
#include <sstream>

namespace ngx {
namespace {

using oidc::Client;
using oidc::ClientAuth;

constexpr std::size_t max_session_keys = 16;

[[noreturn]] void refuse(const ProviderConf& conf, const std::string& sentence)
{
    throw Invalid("oidc_provider \"" + conf.name + "\" " + sentence);
}

// Several blocks may share a file: only the first one warns.
Readers readers_of(
    ngx_conf_t* cf, const ProviderConf& conf, ngx_str_t ProviderSettings::*file)
{
    auto name = view(conf.settings.*file);
    auto is_known = std::ranges::any_of(
        conf_of<MainConf>(cf).providers, [&](const ProviderConf* other) {
            return other != &conf && view(other->settings.*file) == name;
        });
    return is_known ? Readers::ignored : Readers::warned_of;
}

std::string read_secret(ngx_conf_t* cf, const ProviderConf& conf,
    const char* directive, ngx_str_t ProviderSettings::*file)
{
    return ngx::read_secret(
        cf, directive, conf.settings.*file, readers_of(cf, conf, file));
}

oidc::Secret read_client_secret(ngx_conf_t* cf, const ProviderConf& conf)
{
    const auto& file = conf.settings.client_secret_file;
    if (file.len == 0) {
        return conf.client.client_secret;
    }
    if (!conf.client.client_secret.empty()) {
        refuse(conf,
            "has both \"client_secret\" and \"client_secret_file\", specify "
            "only one");
    }
    auto secret = read_secret(
        cf, conf, "client_secret_file", &ProviderSettings::client_secret_file);
    secret.erase(secret.find_last_not_of("\r\n") + 1);
    if (secret.empty()) {
        invalid(
            "client_secret_file", view(file), "the file contains no secret");
    }
    return oidc::Secret(std::move(secret));
}

std::optional<oidc::PrivateKey> read_client_key(
    ngx_conf_t* cf, const ProviderConf& conf)
{
    const auto& file = conf.settings.client_key;
    if (file.len == 0) {
        return {};
    }
    std::string why;
    oidc::Secret content(
        read_secret(cf, conf, "client_key", &ProviderSettings::client_key));
    auto key = oidc::PrivateKey::parse(content.reveal(), why);
    if (!key) {
        invalid("client_key", view(file),
            "it must be a private key in PEM or JWK format, but it is a key " +
                why);
    }
    return key;
}

bool needs_secret(ClientAuth auth)
{
    return auth == ClientAuth::client_secret_basic ||
        auth == ClientAuth::client_secret_post ||
        auth == ClientAuth::client_secret_jwt;
}

bool can_sign(const Client& client)
{
    return client.key && client.key->algorithm({}) != nullptr;
}

// A method may be written before what it needs, so it is checked at the end.
void check_client_auth(const ProviderConf& conf)
{
    const auto& client = conf.client;
    auto auth = client.client_auth;
    auto size = client.client_secret.reveal().size();
    auto min_size = oidc::find_algorithm("HS256")->min_secret;
    std::string needed;

    if (needs_secret(auth) && size == 0) {
        needed = "a \"client_secret\"";
    } else if (auth == ClientAuth::client_secret_jwt && size < min_size) {
        needed = "a \"client_secret\" of at least " + std::to_string(min_size) +
            " bytes";
    } else if (auth == ClientAuth::private_key_jwt && !can_sign(client)) {
        needed = "a \"client_key\" that can sign";
    } else if (oidc::is_tls(auth) && !client.has_certificate) {
        needed = "a \"client_certificate\"";
    }
    if (!needed.empty()) {
        refuse(conf, "has a \"client_auth\" that needs " + needed);
    }
}

void check_secret_size(const Client& client, const char* directive,
    const std::string& alg, std::size_t min_size)
{
    if (client.client_secret.reveal().size() < min_size) {
        invalid(directive, alg,
            "it needs a client_secret of at least " + std::to_string(min_size) +
                " bytes");
    }
}

void check_algorithms(const Client& client)
{
    for (const auto& alg : client.id_token_algs) {
        check_secret_size(
            client, "id_token_alg", alg, oidc::find_algorithm(alg)->min_secret);
    }
    for (const auto& alg : client.id_token_encrypted_algs) {
        if (alg == "dir") {
            check_secret_size(
                client, "id_token_encrypted_alg", alg, oidc::min_dir_secret);
        } else if (!client.key || !client.key->can_decrypt(alg)) {
            invalid("id_token_encrypted_alg", alg,
                "it needs an RSA client_key for RSA-OAEP and RSA-OAEP-256, an "
                "EC client_key for ECDH-ES");
        }
    }
}

oidc::Secret parse_session_key(const ngx_str_t& file, std::string_view line)
{
    auto key = oidc::hex_decode(line);
    if (!key || key->size() != oidc::KeyRing::master_size) {
        invalid("session_key", view(file),
            "each line must be 64 hex digits, as \"openssl rand -hex 32\" "
            "prints them");
    }
    if (key->find_first_not_of(key->front()) == key->npos) {
        invalid("session_key", view(file),
            "a key of identical bytes is not secret, generate one with "
            "\"openssl rand -hex 32\"");
    }
    return oidc::Secret(std::move(*key));
}

// By an engine or a provider of OpenSSL. For any other value nginx's own error
// would show what is perhaps the key itself.
bool is_kept_elsewhere(std::string_view key)
{
    return key.starts_with("engine:") || key.starts_with("store:");
}

}

void read_credentials(ngx_conf_t* cf, ProviderConf& conf)
{
    auto& client = conf.client;
    client.client_secret = read_client_secret(cf, conf);
    client.key = read_client_key(cf, conf);
    client.has_certificate = conf.settings.client_certificate.len > 0;
    check_client_auth(conf);
    check_algorithms(client);
}

std::vector<oidc::Secret> read_session_keys(
    ngx_conf_t* cf, const ProviderConf& conf)
{
    std::vector<oidc::Secret> keys;
    const auto& file = conf.settings.session_key;
    if (file.len == 0) {
        return keys;
    }
    std::istringstream lines(
        read_secret(cf, conf, "session_key", &ProviderSettings::session_key));
    for (std::string line; std::getline(lines, line);) {
        line.erase(line.find_last_not_of(" \t\r") + 1);
        if (!line.empty()) {
            keys.push_back(parse_session_key(file, line));
        }
    }
    if (keys.empty() || keys.size() > max_session_keys) {
        invalid("session_key", view(file),
            "it must contain 1 to 16 keys, one per line");
    }
    return keys;
}

bool set_client_certificate(ngx_conf_t* cf, ProviderConf& conf)
{
    auto& settings = conf.settings;
    auto& certificate = settings.client_certificate;
    auto& key = settings.client_certificate_key;
    if (certificate.len == 0 && key.len == 0) {
        return true;
    }
    if (certificate.len == 0 || key.len == 0) {
        refuse(conf,
            "needs both \"client_certificate\" and "
            "\"client_certificate_key\"");
    }
    check_pem(cf, "client_certificate", certificate, "CERTIFICATE");
    if (!is_kept_elsewhere(view(key))) {
        read_secret(cf, conf, "client_certificate_key",
            &ProviderSettings::client_certificate_key);
    }
    return present_certificate(cf, conf.upstream_server, certificate, key);
}

}
