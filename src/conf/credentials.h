// What authenticates the client and seals its sessions: the secret, the key,
// the certificate and the session keys, read from files and checked together.
#pragma once

#include "conf/conf.h"

namespace ngx {

// Sets the client's secret, key and certificate, and checks what depends on
// them: the authentication and the algorithms. Throws Invalid.
void read_credentials(ngx_conf_t* cf, ProviderConf& conf);

// Those of session_key, at most 16. Throws Invalid.
std::vector<oidc::Secret> read_session_keys(
    ngx_conf_t* cf, const ProviderConf& conf);

// Presents the certificate to the provider. False after a failure that nginx
// has logged. Throws Invalid.
bool set_client_certificate(ngx_conf_t* cf, ProviderConf& conf);

}
