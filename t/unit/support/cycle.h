// As much of an nginx as shared memory needs: a configuration that declares
// zones, a start that makes them, a reload, and workers that may be killed.
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

    // Memory for the zones that were declared, or that of the cycle before for
    // those of the same name and size. This is the running cycle then.
    void start();
    void reload(Cycle& before);

    // What nginx does when a worker was killed.
    void unlock(pid_t worker);

    // The content of the first zone.
    std::string memory();
    void restore(const std::string& memory);

    // What a worker that does this leaves in the first zone where it is killed
    // after any of its machine instructions, in their order; once
    // for all instructions that change nothing there.
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

// A process of its own that does this, and ends.
pid_t start_worker(const std::function<void()>& work);

// Whether it came to its end, and whether it was still at work.
bool await_worker(pid_t worker);
bool kill_worker(pid_t worker);

}
