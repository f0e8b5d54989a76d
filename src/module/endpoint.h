// The endpoints of providers: the paths that are not pages of the application.
#pragma once

#include "conf/conf.h"
#include "ngx/ngx.h"

#include <string_view>
#include <vector>

namespace ngx {

enum class EndpointKind {
    callback,
    logout,
    frontchannel_logout,
    backchannel_logout
};

// What a request to it does, after "while" in a log sentence.
std::string_view action(EndpointKind kind);

struct Endpoint {
    ProviderConf* provider;
    EndpointKind kind;
};

std::vector<Endpoint> endpoints_at(
    const std::vector<ProviderConf*>& providers, std::string_view path);

// True for the path of an endpoint of any provider, in any server.
bool is_path_of_any_provider(
    const ngx_http_request_t* r, std::string_view path);

// True where a request by POST brings a form.
bool takes_form(const Endpoint& endpoint);

// Selects among endpoints at one path, at least one, by the query or form of
// the request.
Endpoint choose(ngx_http_request_t* r, const std::vector<Endpoint>& endpoints,
    std::string_view form);

// True where another issuer has the same callback path in this server.
bool shares_callback(ngx_http_request_t* r, const ProviderConf& provider);

// True where the path has another meaning in this server, too.
bool shares_frontchannel_logout(
    ngx_http_request_t* r, const ProviderConf& provider);

}
