#include "ngx/resolver.h"

#include <fstream>
#include <sstream>
#include <vector>

namespace ngx {
namespace {

constexpr std::size_t max_hosts = 10000;
constexpr std::size_t max_servers = 3; // as in resolv.conf(5)

bool is_address(ngx_pool_t* pool, std::string_view text)
{
    ngx_addr_t address;
    auto s = copy(pool, text);
    return ngx_parse_addr(pool, &address, s.data, s.len) == NGX_OK;
}

bool is_ipv4(std::string_view address)
{
    return address.find(':') == address.npos;
}

// Calls visit(words) for each line of a file, without comments.
template <class Visit>
void each_line(const char* path, Visit visit)
{
    std::ifstream file(path);
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream words(line.substr(0, line.find_first_of("#;")));
        std::vector<std::string> list;
        for (std::string word; words >> word;) {
            list.push_back(word);
        }
        if (list.size() >= 2) {
            visit(list);
        }
    }
}

std::vector<ngx_str_t> read_servers(ngx_conf_t* cf)
{
    std::vector<ngx_str_t> servers;
    each_line("/etc/resolv.conf", [&](const std::vector<std::string>& line) {
        // nginx has no form for a link-local address with a zone.
        if (line[0] != "nameserver" || servers.size() == max_servers ||
            !is_address(cf->temp_pool, line[1])) {
            return;
        }
        servers.push_back(
            copy(cf->pool, is_ipv4(line[1]) ? line[1] : "[" + line[1] + "]"));
    });
    return servers;
}

}

void Names::read(ngx_conf_t* cf)
{
    each_line("/etc/hosts", [&](const std::vector<std::string>& line) {
        for (std::size_t i = 1; i < line.size(); i++) {
            auto known = hosts_.find(line[i]);
            if (known == hosts_.end() && hosts_.size() < max_hosts) {
                hosts_.emplace(line[i], line[0]);
            } else if (known != hosts_.end() && is_ipv4(line[0]) &&
                !is_ipv4(known->second)) {
                known->second = line[0];
            }
        }
    });
    hosts_.emplace("localhost", "127.0.0.1");

    auto servers = read_servers(cf);
    if (!servers.empty()) {
        resolver_ = ngx_resolver_create(cf, servers.data(), servers.size());
    }
}

ngx_addr_t* Names::address(
    ngx_pool_t* pool, std::string_view host, in_port_t port) const
{
    std::string_view literal = host;
    if (host.starts_with('[')) {
        literal = host.substr(1, host.size() - 2);
    } else if (auto known = hosts_.find(host); known != hosts_.end()) {
        literal = known->second;
    }

    auto address = allocate<ngx_addr_t>(pool);
    auto s = copy(pool, literal);
    if (ngx_parse_addr(pool, address, s.data, s.len) != NGX_OK) {
        return nullptr;
    }
    ngx_inet_set_port(address->sockaddr, port);
    address->name = copy(pool, host);
    return address;
}

}
