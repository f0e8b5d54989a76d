// What all users of nginx's shared memory need: the lock of a zone, keys as
// nginx's strings, and whether who wrote there is still alive.
#pragma once

#include "ngx/ngx.h"

#include <csignal>

namespace ngx {

class Lock {
public:
    explicit Lock(ngx_slab_pool_t* pool) : pool_(pool)
    {
        ngx_shmtx_lock(&pool_->mutex);
    }
    ~Lock() { ngx_shmtx_unlock(&pool_->mutex); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

private:
    ngx_slab_pool_t* pool_;
};

inline ngx_str_t str(std::string_view s)
{
    return {s.size(), reinterpret_cast<u_char*>(const_cast<char*>(s.data()))};
}

// A worker that was killed does nothing more.
inline bool is_alive(ngx_pid_t pid)
{
    return pid == ngx_pid || kill(pid, 0) == 0 || errno != ESRCH;
}

}
