// The shared memory behind oidc_state_zone: the key that is made at start, and
// the states that were used, so that each serves one callback in all workers.
#pragma once

#include "core/crypto.h"
#include "ngx/ngx.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ngx {

class Zone {
public:
    static constexpr std::size_t least_size = 64 * 1024;

    // Declares the zone to nginx; its content survives a reload. Null after a
    // failure that is logged.
    static Zone* add(ngx_conf_t* cf, std::size_t size);

    // 32 random bytes, made when the zone was.
    oidc::Secret key() const;

    enum class Taken { ours, busy, ended, abandoned };

    struct Taking {
        Taken taken;
        std::string left; // by the one who took the id before
    };

    // Takes an id until the time `until`. The oldest ids go when the zone is
    // full: the provider's codes and the expiry of states still stand.
    Taking take(std::string_view id, std::int64_t now, std::int64_t until);

    // Ends the taking of an id; `text` stays for 30 seconds for those who ask
    // for the same id, and may be empty.
    void leave(std::string_view id, std::string_view text, std::int64_t now);

    // The one who took the id will not come to an end.
    void abandon(std::string_view id);

private:
    struct Shared;
    struct Node;

    static ngx_int_t init(ngx_shm_zone_t* zone, void* data);

    ngx_int_t create(ngx_shm_zone_t* zone);
    Node* find(std::string_view id);
    Node* insert(std::string_view id);
    void remove(Node* node);
    void sweep(std::int64_t now);
    void* allocate(std::size_t size);

    ngx_slab_pool_t* pool_ = nullptr;
    Shared* shared_ = nullptr;
};

}
