// Resolves names of provider hosts without a resolver directive: from
// /etc/hosts, and all others with a resolver made from /etc/resolv.conf.
#pragma once

#include "ngx/ngx.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace ngx {

class Names {
public:
    // Reads both files once, when the configuration is read.
    void read(ngx_conf_t* cf);

    // A socket address for an IP literal (in brackets where it is IPv6), a
    // name of /etc/hosts, or localhost (RFC 6761, 6.3); null for other names.
    // Throws std::bad_alloc.
    ngx_addr_t* address(
        ngx_pool_t* pool, std::string_view host, in_port_t port) const;

    // Null if /etc/resolv.conf names no server.
    ngx_resolver_t* resolver() const { return resolver_; }

private:
    std::map<std::string, std::string, std::less<>> hosts_;
    ngx_resolver_t* resolver_ = nullptr;
};

}
