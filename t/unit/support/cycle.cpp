#include "support/cycle.h"

#include <csignal>
#include <span>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

ngx_module_t ngx_http_oidc_module = {};

namespace ngx {

void log_exception(ngx_log_t*, const char* what) noexcept
{
    fprintf(stderr, "exception: %s\n", what);
    std::abort();
}

namespace test {
namespace {

void prepare()
{
    ngx_pid = getpid();
    ngx_ncpu = sysconf(_SC_NPROCESSORS_ONLN);
    ngx_pagesize = getpagesize();
    for (ngx_pagesize_shift = 0; ngx_pagesize >> ngx_pagesize_shift > 1;) {
        ngx_pagesize_shift++;
    }
    ngx_slab_sizes_init();
}

std::span<ngx_shm_zone_t> zones(ngx_cycle_t& cycle)
{
    auto& part = cycle.shared_memory.part;
    return {static_cast<ngx_shm_zone_t*>(part.elts), part.nelts};
}

bool same(const ngx_shm_zone_t& a, const ngx_shm_zone_t& b)
{
    return view(a.shm.name) == view(b.shm.name) && a.tag == b.tag &&
        a.shm.size == b.shm.size;
}

void map(ngx_shm_t& shm)
{
    auto memory = mmap(nullptr, shm.size, PROT_READ | PROT_WRITE,
        MAP_ANONYMOUS | MAP_SHARED, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc();
    }
    shm.addr = static_cast<u_char*>(memory);

    auto pool = reinterpret_cast<ngx_slab_pool_t*>(shm.addr);
    pool->end = shm.addr + shm.size;
    pool->min_shift = 3;
    pool->addr = shm.addr;
    ngx_shmtx_create(&pool->mutex, &pool->lock, nullptr);
    ngx_slab_init(pool);
}

}

Cycle::Cycle()
{
    static auto once = (prepare(), true);
    (void)once;

    pool_ = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, &log_);
    cycle_.log = &log_;
    cycle_.pool = pool_;
    ngx_list_init(&cycle_.shared_memory, pool_, 16, sizeof(ngx_shm_zone_t));
    conf_.cycle = &cycle_;
    conf_.pool = pool_;
    conf_.log = &log_;
    if (ngx_cycle == nullptr) {
        ngx_cycle = &cycle_; // slabs log to it
    }
}

// The process frees the memory when it ends.
Cycle::~Cycle()
{
    if (ngx_cycle == &cycle_) {
        ngx_cycle = nullptr;
    }
    ngx_destroy_pool(pool_);
}

void Cycle::start()
{
    for (auto& zone : zones(cycle_)) {
        start(zone, nullptr);
    }
    ngx_cycle = &cycle_;
}

void Cycle::reload(Cycle& before)
{
    for (auto& zone : zones(cycle_)) {
        start(zone, &before);
    }
    ngx_cycle = &cycle_;
}

void Cycle::start(ngx_shm_zone_t& zone, Cycle* before)
{
    void* data = nullptr;
    if (before != nullptr) {
        for (auto& old : zones(before->cycle_)) {
            if (same(old, zone)) {
                zone.shm.addr = old.shm.addr;
                data = old.data;
            }
        }
    }
    if (data == nullptr) {
        map(zone.shm);
    }
    if (zone.init(&zone, data) != NGX_OK) {
        throw std::runtime_error("could not start a zone");
    }
}

void Cycle::unlock(pid_t worker)
{
    for (auto& zone : zones(cycle_)) {
        auto pool = reinterpret_cast<ngx_slab_pool_t*>(zone.shm.addr);
        ngx_shmtx_force_unlock(&pool->mutex, worker);
    }
}

std::string Cycle::memory()
{
    const auto& shm = zones(cycle_).front().shm;
    return {reinterpret_cast<const char*>(shm.addr), shm.size};
}

void Cycle::restore(const std::string& memory)
{
    ngx_memcpy(zones(cycle_).front().shm.addr, memory.data(), memory.size());
}

Cycle::Moments Cycle::step_through(const std::function<void()>& work)
{
    const auto& shm = zones(cycle_).front().shm;
    Moments moments{start_worker([&] {
                        ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
                        raise(SIGSTOP);
                        work();
                    }),
        {memory()}};
    for (;;) {
        int status;
        waitpid(moments.worker, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            return moments;
        }
        if (!WIFSTOPPED(status)) {
            throw std::runtime_error("worker did not come to its end");
        }
        const auto& last = moments.memories.back();
        if (memcmp(shm.addr, last.data(), last.size()) != 0) {
            moments.memories.push_back(memory());
        }
        ptrace(PTRACE_SINGLESTEP, moments.worker, nullptr, nullptr);
    }
}

pid_t start_worker(const std::function<void()>& work)
{
    auto pid = fork();
    if (pid == 0) {
        ngx_pid = getpid();
        work();
        _exit(0);
    }
    return pid;
}

bool await_worker(pid_t worker)
{
    int status;
    waitpid(worker, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool kill_worker(pid_t worker)
{
    kill(worker, SIGKILL);
    int status;
    waitpid(worker, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

}
}
