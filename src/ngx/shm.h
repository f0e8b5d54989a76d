// Shared memory: the lock of a zone, and whether a process is still alive.
#pragma once

#include "ngx/ngx.h"

#include <csignal>
#include <sched.h>
#include <sys/wait.h>

namespace ngx {

inline bool is_alive(ngx_pid_t pid)
{
    return pid == ngx_pid || kill(pid, 0) == 0 || errno != ESRCH;
}

// True for a child that died and was not reaped: kill() still finds it.
inline bool has_died(ngx_pid_t child)
{
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(child), &info,
               WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == child;
}

class Lock {
public:
    explicit Lock(ngx_slab_pool_t* pool) : mutex_(&pool->mutex)
    {
        if (ngx_process == NGX_PROCESS_MASTER) {
            lock_as_master();
        } else {
            ngx_shmtx_lock(mutex_);
        }
    }
    ~Lock() { ngx_shmtx_unlock(mutex_); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

private:
    // nginx releases the locks of a killed worker in its SIGCHLD handling,
    // which does not run while the master reads a configuration.
    void lock_as_master()
    {
        while (!ngx_shmtx_trylock(mutex_)) {
            auto owner = static_cast<ngx_pid_t>(*mutex_->lock);
            if (owner != 0 && (has_died(owner) || !is_alive(owner))) {
                ngx_shmtx_force_unlock(mutex_, owner);
            }
            sched_yield();
        }
    }

    ngx_shmtx_t* mutex_;
};

}
