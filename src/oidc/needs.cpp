#include "oidc/needs.h"

#include "core/crypto.h"

namespace oidc {

std::string claim_path(std::span<const std::string> names)
{
    std::string path;
    for (const auto& name : names) {
        path.append(name).push_back('\0');
    }
    return path;
}

bool is_claim_path(std::string_view claim)
{
    return claim.find('\0') != claim.npos;
}

std::string digest_of_needs(const Needs& needs)
{
    constexpr std::size_t size = 8;
    std::string list = bind_fields({needs.all_claims ? "all" : "some",
        needs.id_token ? "id" : "", needs.access_token ? "access" : "",
        needs.refresh_token ? "refresh" : "",
        needs.userinfo ? "userinfo" : ""});
    for (const auto& name : needs.claims) {
        list += bind_fields({name});
    }
    return digest(Hash::sha256, list).substr(0, size);
}

}
