// The part of nginx that shared memory needs: a configuration that declares
// zones, a start that creates them, a reload, and workers that can be killed.
#pragma once

#include "ngx/ngx.h"

#include <functional>
#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

namespace ngx::test {

class Cycle {
public:
    Cycle();
    ~Cycle();
    Cycle(const Cycle&) = delete;
    Cycle& operator=(const Cycle&) = delete;

    ngx_conf_t* conf() { return &conf_; }

    // Allocates memory for the declared zones, or reuses that of the previous
    // cycle for zones of the same name and size. Makes this the running cycle.
    void start();
    void reload(Cycle& before);

    // Does what nginx does after a worker was killed.
    void unlock(pid_t worker);

    // The content of the first zone.
    std::string memory();
    void restore(const std::string& memory);

    // The contents of the first zone if a worker that runs `work` is killed
    // after any of its machine instructions, in order; consecutive equal
    // contents are listed once.
    struct Moments {
        pid_t worker;
        std::vector<std::string> memories;
    };

    Moments step_through(const std::function<void()>& work);

private:
    void start(ngx_shm_zone_t& zone, Cycle* before);

    ngx_log_t log_{};
    ngx_pool_t* pool_;
    ngx_cycle_t cycle_{};
    ngx_conf_t conf_{};
};

// Runs `work` in a new process.
pid_t start_worker(const std::function<void()>& work);

// True if it finished; true if it was still running.
bool await_worker(pid_t worker);
bool kill_worker(pid_t worker);

}
