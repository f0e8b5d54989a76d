#include "ngx/ngx.h"

#include "support/cycle.h"

#include <cstdint>
#include <gtest/gtest.h>

namespace ngx::test {
namespace {

template <class T>
bool is_aligned(const T* object)
{
    return reinterpret_cast<std::uintptr_t>(object) % alignof(T) == 0;
}

template <std::size_t alignment>
struct alignas(alignment) Aligned {
    explicit Aligned(char c) : first(c) {}
    Aligned() = default;

    char first;
};

// Small ones share a block of the pool, at any offset; large ones have their
// own memory.
template <std::size_t alignment>
void expect_aligned(ngx_pool_t* pool)
{
    for (std::size_t taken = 1; taken <= alignment; taken++) {
        ngx_pnalloc(pool, 1);
        auto made = make<Aligned<alignment>>(pool, 'x');
        auto zeroed = allocate<Aligned<alignment>>(pool);
        EXPECT_TRUE(is_aligned(made)) << alignment << ", " << taken;
        EXPECT_TRUE(is_aligned(zeroed)) << alignment << ", " << taken;
        EXPECT_EQ('x', made->first);
        EXPECT_EQ('\0', zeroed->first);
    }
}

TEST(PoolTest, AlignsAsTheTypeNeeds)
{
    Cycle cycle;
    auto pool = cycle.conf()->pool;
    expect_aligned<1>(pool);
    expect_aligned<8>(pool);
    expect_aligned<16>(pool);
    expect_aligned<64>(pool);
    expect_aligned<512>(pool);
}

struct Counted {
    explicit Counted(int& n) : count(n) { count++; }
    ~Counted() { count--; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

    int& count;
    alignas(32) char aligned = 0;
};

TEST(PoolTest, DestroysWhatItOwns)
{
    ngx_log_t log{};
    auto pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, &log);
    int count = 0;
    make<Counted>(pool, count);
    make<Counted>(pool, count);
    EXPECT_EQ(2, count);
    ngx_destroy_pool(pool);
    EXPECT_EQ(0, count);
}

}
}
