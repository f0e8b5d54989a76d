#include "oidc/revocation_key.h"

namespace oidc {

std::string revocation_key(
    const Client& client, std::string_view kind, std::string_view value)
{
    constexpr std::size_t size = 16;
    return digest(Hash::sha256,
        bind_fields(
            {"revocation", kind, client.issuer, client.client_id, value}))
        .substr(0, size);
}

}
