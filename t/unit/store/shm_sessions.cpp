#include "store/shm_sessions.h"

#include "support/cycle.h"

#include <gtest/gtest.h>
#include <random>
#include <unistd.h>
#include <vector>

namespace ngx::test {
namespace {

constexpr Time noon = oidc::from_seconds(1'700'000'000);
constexpr Seconds hour = 1h;

std::string key(std::uint64_t n)
{
    std::string bytes(MemoryStore::key_size, '\0');
    auto mixed = n * 0x9e3779b97f4a7c15;
    memcpy(&bytes[0], &mixed, sizeof(mixed));
    memcpy(&bytes[8], &n, sizeof(n));
    return bytes;
}

// A blob whose bytes depend on its key and its size.
std::string blob(std::uint64_t n, std::size_t size)
{
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; i++) {
        bytes[i] = static_cast<char>(n + i + size);
    }
    return bytes;
}

class MemoryStoreTest : public testing::Test {
protected:
    explicit MemoryStoreTest(std::size_t size = MemoryStore::min_size) :
        store_(*MemoryStore::add(cycle_.conf(), "main", size))
    {
        cycle_.start();
    }

    bool save(std::uint64_t n, std::size_t size, Time until = noon + hour)
    {
        return store_.save(key(n), blob(n, size), {}, noon, until);
    }

    std::optional<std::string> load(std::uint64_t n, Time now = noon)
    {
        return store_.load(key(n), now, {});
    }

    // Saves sessions of that size until one is evicted.
    std::size_t fill(std::size_t size)
    {
        auto evictions = store_.figures().evictions;
        std::size_t count = 0;
        while (store_.figures().evictions == evictions) {
            EXPECT_TRUE(save(1000 + count++, size));
        }
        return count - 1;
    }

    Cycle cycle_;
    MemoryStore& store_;
};

TEST_F(MemoryStoreTest, KeepsAtMostSoManySessions)
{
    auto& store = *MemoryStore::add(cycle_.conf(), "main", 0, 3);
    EXPECT_EQ(&store, &store_);
    for (std::uint64_t n = 1; n <= 3; n++) {
        EXPECT_TRUE(save(n, 100));
    }
    EXPECT_TRUE(save(2, 200));
    EXPECT_EQ(store_.figures().evictions, 0u);
    EXPECT_TRUE(save(4, 100));
    EXPECT_EQ(load(1), std::nullopt);
    EXPECT_EQ(load(2), blob(2, 200));
    EXPECT_EQ(store_.figures().sessions, 3u);
}

TEST_F(MemoryStoreTest, LoadsWhatWasSaved)
{
    for (std::size_t size :
        {0, 1, 55, 56, 57, 179, 180, 181, 1024, 1025, 4096, 65536, 100'000}) {
        ASSERT_TRUE(save(size, size));
        EXPECT_EQ(load(size), blob(size, size)) << size;
    }
}

TEST_F(MemoryStoreTest, DoesNotFindOtherKeys)
{
    save(1, 10);
    EXPECT_FALSE(load(2));
    auto near = key(1);
    near.back() ^= 1;
    EXPECT_FALSE(store_.load(near, noon, {}));
}

TEST_F(MemoryStoreTest, ReplacesABlob)
{
    save(1, 5000);
    save(1, 10);
    EXPECT_EQ(load(1), blob(1, 10));
    EXPECT_EQ(store_.figures().sessions, 1);
}

TEST_F(MemoryStoreTest, DropsASession)
{
    save(1, 10);
    store_.drop(key(1));
    EXPECT_FALSE(load(1));
    store_.drop(key(1));
    EXPECT_EQ(store_.figures().sessions, 0);
}

TEST_F(MemoryStoreTest, ExpiresASession)
{
    save(1, 10, noon + 60s);
    EXPECT_TRUE(load(1, noon + 59s));
    EXPECT_FALSE(load(1, noon + 60s));
    EXPECT_EQ(store_.figures().sessions, 0);
}

TEST_F(MemoryStoreTest, MovesTheExpiryOfASessionThatIsLoaded)
{
    save(1, 10, noon + 60s);
    EXPECT_TRUE(store_.load(key(1), noon + 50s, noon + 110s));
    EXPECT_TRUE(store_.load(key(1), noon + 100s, {}));
    EXPECT_FALSE(load(1, noon + 110s));
}

TEST_F(MemoryStoreTest, EvictsTheLeastRecentlyUsed)
{
    save(1, 180);
    save(2, 180);
    save(3, 180);
    EXPECT_TRUE(load(1));
    fill(180);
    EXPECT_FALSE(load(2));
    EXPECT_TRUE(load(3));
    EXPECT_TRUE(load(1));
}

TEST_F(MemoryStoreTest, ChangesNothingWhereABlobCannotFit)
{
    save(1, 180);
    EXPECT_FALSE(save(1, MemoryStore::min_size));
    EXPECT_FALSE(save(2, MemoryStore::min_size));
    EXPECT_EQ(load(1), blob(1, 180));
    EXPECT_EQ(store_.figures().evictions, 0);
}

TEST_F(MemoryStoreTest, EvictsNoMoreThanALargeBlobTakes)
{
    auto count = fill(180);
    auto before = store_.figures();
    EXPECT_EQ(before.sessions, count);
    save(1, 65536);
    EXPECT_EQ(load(1), blob(1, 65536));
    EXPECT_LE(store_.figures().evictions - before.evictions, 65536 / 208 + 1);
}

TEST_F(MemoryStoreTest, SavesABlobThatNeedsAllOfIt)
{
    fill(180);
    auto size = MemoryStore::min_size;
    while (!save(1, size)) {
        size -= 100;
    }
    EXPECT_GT(size, MemoryStore::min_size * 85 / 100);
    EXPECT_EQ(load(1), blob(1, size));
    EXPECT_EQ(store_.figures().sessions, 1);
    EXPECT_TRUE(save(1, size - 1));
    EXPECT_EQ(load(1), blob(1, size - 1));
}

TEST_F(MemoryStoreTest, RemovesExpiredSessionsFirst)
{
    for (std::uint64_t n = 0; n < 100; n++) {
        save(n, 180);
    }
    for (std::uint64_t n = 1000; n < 1800; n++) {
        save(n, 180, noon + 1s); // used later, expires earlier
    }
    for (std::uint64_t n = 2000; n < 2800; n++) {
        EXPECT_TRUE(
            store_.save(key(n), blob(n, 180), {}, noon + 2s, noon + hour));
    }
    EXPECT_EQ(store_.figures().evictions, 0);
    EXPECT_TRUE(load(0));
}

TEST_F(MemoryStoreTest, TakesTwoBlocksForASmallSession)
{
    auto count = fill(180);
    EXPECT_GT(count, MemoryStore::min_size / 275);
}

// Sessions of users, in a store where a user's share is 117 blocks.
class SharesOfUsers : public MemoryStoreTest {
protected:
    bool save_of(char user, std::uint64_t n, std::size_t size)
    {
        std::string owner(MemoryStore::key_size, user);
        return store_.save(key(n), blob(n, size), owner, noon, noon + hour);
    }

    std::size_t count(std::uint64_t from, std::uint64_t to)
    {
        std::size_t count = 0;
        for (auto n = from; n < to; n++) {
            count += load(n).has_value();
        }
        return count;
    }
};

TEST_F(SharesOfUsers, EvictTheirOwnSessionsFirst)
{
    for (std::uint64_t n = 0; n < 10; n++) {
        save(n, 10'000);
    }
    for (std::uint64_t n = 100; n < 170; n++) {
        EXPECT_TRUE(save_of('a', n, 10'000));
    }
    EXPECT_EQ(count(0, 10), 10);
    EXPECT_EQ(count(100, 170), 1);
    EXPECT_TRUE(load(169));
    EXPECT_EQ(store_.figures().evictions, 0);
}

TEST_F(SharesOfUsers, KeepTheMostRecentlyUsedSessions)
{
    for (std::uint64_t n = 0; n < 4; n++) {
        save_of('a', n, 3500); // 29 blocks
    }
    EXPECT_EQ(count(1, 4), 3);
    EXPECT_TRUE(load(0));
    save_of('a', 4, 3500);
    EXPECT_FALSE(load(1));
    EXPECT_TRUE(load(0));
    EXPECT_EQ(count(2, 5), 3);
}

TEST_F(SharesOfUsers, HaveRoomForASessionOfAnySizeThatFits)
{
    save_of('a', 1, 100);
    EXPECT_TRUE(save_of('a', 2, 100'000));
    EXPECT_TRUE(load(2));
    EXPECT_FALSE(load(1));
}

TEST_F(SharesOfUsers, CountAReplacedSessionOnce)
{
    for (std::uint64_t n = 0; n < 4; n++) {
        save_of('a', n, 3500);
    }
    for (int i = 0; i < 9; i++) {
        save_of('a', 3, 3500);
    }
    EXPECT_EQ(count(0, 4), 4);
}

TEST_F(SharesOfUsers, AreSeparate)
{
    for (std::uint64_t n = 0; n < 4; n++) {
        save_of('a', n, 3500);
        save_of('b', 10 + n, 3500);
    }
    EXPECT_EQ(count(0, 4), 4);
    EXPECT_EQ(count(10, 14), 4);
}

TEST_F(MemoryStoreTest, LimitsTheNumberOfASubjectsSessions)
{
    Cycle cycle;
    auto& store = *MemoryStore::add(cycle.conf(), "large", 4 * 1024 * 1024);
    cycle.start();
    std::string owner(MemoryStore::key_size, 'a');
    for (std::uint64_t n = 0; n < MemoryStore::max_sessions + 10; n++) {
        store.save(key(n), "x", owner, noon, noon + hour);
    }
    EXPECT_EQ(store.figures().sessions, MemoryStore::max_sessions);
    EXPECT_FALSE(store.load(key(9), noon, {}));
    EXPECT_TRUE(store.load(key(10), noon, {}));
}

TEST_F(MemoryStoreTest, OutlivesAReload)
{
    save(1, 180);
    Cycle next;
    auto& store = *MemoryStore::add(next.conf(), "main", MemoryStore::min_size);
    next.reload(cycle_);
    EXPECT_EQ(store.load(key(1), noon, {}), blob(1, 180));
}

TEST_F(MemoryStoreTest, IsNewWithAnotherSize)
{
    save(1, 180);
    Cycle next;
    auto& store =
        *MemoryStore::add(next.conf(), "main", MemoryStore::min_size * 2);
    next.reload(cycle_);
    EXPECT_FALSE(store.load(key(1), noon, {}));
    EXPECT_TRUE(store.save(key(1), "x", {}, noon, noon + 1s));
}

TEST(MemoryStores, AreOneByNameAndSeparateOtherwise)
{
    Cycle cycle;
    auto size = MemoryStore::min_size;
    auto a = MemoryStore::add(cycle.conf(), "a", size);
    auto b = MemoryStore::add(cycle.conf(), "b", size);
    EXPECT_EQ(MemoryStore::add(cycle.conf(), "a", size), a);
    cycle.start();
    a->save(key(1), "x", {}, noon, noon + 1s);
    EXPECT_FALSE(b->load(key(1), noon, {}));
}

// The worker is killed after each of its machine instructions.
TEST_F(MemoryStoreTest, KeepsTheOldOrTheNewSessionWhereTheWorkerIsKilled)
{
    std::string owner(MemoryStore::key_size, 'a');
    save(1, 200);
    std::size_t old = 0;
    std::size_t replaced = 0;
    auto [worker, memories] = cycle_.step_through(
        [&] { store_.save(key(1), blob(1, 300), owner, noon, noon + hour); });
    for (const auto& memory : memories) {
        cycle_.restore(memory);
        cycle_.unlock(worker);
        auto found = load(1);
        old += found == blob(1, 200);
        replaced += found == blob(1, 300);
        EXPECT_EQ(store_.figures().sessions, 1);
    }
    EXPECT_GT(old, 10);
    EXPECT_GT(replaced, 0);
    EXPECT_EQ(old + replaced, memories.size());
}

// Workers under load, each of which is killed at a random instruction.
class KilledWorkers : public MemoryStoreTest {
protected:
    void work(unsigned seed)
    {
        std::minstd_rand random(seed);
        for (;;) {
            auto n = random() % 300;
            auto what = random() % 8;
            if (what == 0) {
                store_.drop(key(n));
            } else if (what < 4) {
                auto size = random() % (random() % 16 == 0 ? 20'000 : 400);
                std::string owner(n % 3 == 0 ? 0 : MemoryStore::key_size,
                    static_cast<char>(n % 7));
                store_.save(key(n), blob(n, size), owner, noon, noon + hour);
            } else if (auto found = load(n); found) {
                check(n, *found);
            }
        }
    }

    void check(std::uint64_t n, const std::string& found)
    {
        if (found != blob(n, found.size())) {
            fprintf(stderr, "blob %ju is not whole\n", uintmax_t{n});
            std::abort();
        }
    }
};

TEST_F(KilledWorkers, KeepTheStoreConsistent)
{
    std::vector<pid_t> workers;
    unsigned seed = 1;
    auto start = [&] {
        auto s = seed++;
        return start_worker([this, s] { work(s); });
    };
    auto capacity = [this] {
        for (std::uint64_t n = 0; n < 5000; n++) {
            store_.drop(key(n));
        }
        return fill(180);
    };
    auto whole = capacity();

    for (int i = 0; i < 4; i++) {
        workers.push_back(start());
    }
    for (int i = 0; i < 40; i++) {
        usleep(1000 + i * 37 % 1000);
        auto& worker = workers[i % workers.size()];
        EXPECT_TRUE(kill_worker(worker)) << "it has found a broken blob";
        cycle_.unlock(worker);
        worker = start();
    }
    for (auto worker : workers) {
        EXPECT_TRUE(kill_worker(worker));
        cycle_.unlock(worker);
    }
    for (std::uint64_t n = 0; n < 300; n++) {
        if (auto found = load(n)) {
            check(n, *found);
        }
    }
    EXPECT_EQ(capacity(), whole); // no block is lost
}

}
}
