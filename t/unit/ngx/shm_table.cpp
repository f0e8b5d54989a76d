#include "ngx/shm_table.h"

#include "support/cycle.h"

#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>

namespace ngx::test {
namespace {

constexpr Time noon = oidc::from_seconds(1'700'000'000);
constexpr std::size_t block_size = 96;
constexpr std::size_t head = block_size - ShmTable::head_size;
constexpr std::size_t body = block_size - sizeof(ShmTable::Link);
constexpr std::uint8_t queues = 3;

std::string key(std::size_t n)
{
    auto text = std::to_string(n);
    return std::string(ShmTable::key_size - text.size(), '0') + text;
}

std::string blob(std::size_t n, std::size_t size)
{
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; i++) {
        bytes[i] = static_cast<char>(n + 31 * i + size);
    }
    return bytes;
}

class ShmTableTest : public testing::Test {
protected:
    using Index = ShmTable::Index;
    using Change = ShmTable::Change;

    ShmTableTest()
    {
        ngx_str_t name = ngx_string("table");
        auto zone = ngx_shared_memory_add(
            cycle_.conf(), &name, 5 * ngx_pagesize, &ngx_http_oidc_module);
        zone->data = this;
        zone->init = init;
        cycle_.start();
    }

    static ngx_int_t init(ngx_shm_zone_t* zone, void*)
    {
        auto self = static_cast<ShmTableTest*>(zone->data);
        auto pool = reinterpret_cast<ngx_slab_pool_t*>(zone->shm.addr);
        auto size = pool->pfree * ngx_pagesize;
        self->table_.create(
            pool, ngx_slab_alloc(pool, size), size, block_size, true);
        return NGX_OK;
    }

    static ShmTable::Entry entry(std::size_t n, std::string_view key,
        std::string_view blob, std::string_view owner = {},
        std::uint8_t queue = 0)
    {
        ShmTable::Entry entry;
        entry.queue = queue;
        entry.key = key;
        entry.owner = owner;
        entry.until = noon + Seconds(n);
        entry.number = static_cast<std::uint32_t>(n);
        entry.blob = blob;
        return entry;
    }

    void insert(std::size_t n, std::size_t size, std::string_view owner = {},
        std::uint8_t queue = 0)
    {
        Change change(table_);
        table_.insert(change, entry(n, key(n), blob(n, size), owner, queue));
        change.commit();
    }

    void remove(std::size_t n)
    {
        Change change(table_);
        table_.remove(change, table_.find(0, key(n)));
        change.commit();
    }

    std::string blob_of(Index index)
    {
        std::string bytes;
        bytes.reserve(table_[index].size);
        table_.copy(index, bytes);
        return bytes;
    }

    // All records, in the order of their queues.
    std::string content()
    {
        Change change(table_);
        std::string all;
        for (std::uint8_t queue = 0; queue < queues; queue++) {
            all += "queue of " + std::to_string(table_.count(queue)) + "\n";
            for (auto i = table_.oldest(queue); i != 0; i = table_[i].newer) {
                auto& record = table_[i];
                all += std::string(record.key_text()) + " " +
                    std::string(record.owner_text()) + " " +
                    std::to_string(oidc::to_seconds(record.until)) + " " +
                    std::to_string(record.number) + " " + blob_of(i);
                for (auto j = table_.first_of(queue, record.owner_text());
                     j != 0; j = table_.next_of(j)) {
                    all += " " + std::to_string(table_[j].number);
                }
                all += "\n";
            }
        }
        return all;
    }

    // Checks the invariants, and fills the table.
    void expect_consistency()
    {
        Change change(table_);
        std::set<Index> seen;
        auto blocks = table_.room();
        for (std::uint8_t queue = 0; queue < queues; queue++) {
            Index before = 0;
            Index count = 0;
            for (auto i = table_.oldest(queue); i != 0; i = table_[i].newer) {
                auto& record = table_[i];
                ASSERT_TRUE(seen.insert(i).second);
                EXPECT_EQ(record.queue, queue);
                EXPECT_EQ(record.older, before);
                EXPECT_EQ(table_.find(record.space, record.key_text()), i);
                EXPECT_EQ(count_siblings(i), record.owner_size != 0);
                blocks += table_.blocks_of(record.size);
                before = i;
                count++;
            }
            EXPECT_EQ(table_.count(queue), count);
        }
        EXPECT_EQ(blocks, table_.capacity()) << "blocks are lost";

        auto rest = table_.room();
        if (rest > 0) {
            auto size = head + (rest - 1) * body;
            auto all = blob(7, size);
            auto i = table_.insert(change, entry(0, key(0), all));
            change.commit();
            EXPECT_EQ(table_.room(), 0);
            EXPECT_EQ(blob_of(i), all) << "blocks are free twice";
        }
    }

    // Counts its occurrences among the records of its owner.
    int count_siblings(Index index)
    {
        auto& record = table_[index];
        int count = 0;
        for (auto i = table_.first_of(record.queue, record.owner_text());
             i != 0; i = table_.next_of(i)) {
            count += i == index;
        }
        return count;
    }

    // Kills the worker after each machine instruction of `work`.
    void expect_all_or_nothing(const std::function<void()>& work)
    {
        auto before = content();
        auto [worker, memories] = cycle_.step_through(work);
        auto after = content();
        EXPECT_NE(before, after);
        EXPECT_GT(memories.size(), 20);
        std::size_t undone = 0;
        for (std::size_t i = 0; i < memories.size(); i++) {
            cycle_.restore(memories[i]);
            cycle_.unlock(worker);
            if (i % 32 == 31) { // a sample
                expect_undo_to_be_repeated(before, after);
                cycle_.restore(memories[i]);
                cycle_.unlock(worker);
            }
            auto now = content();
            undone += now == before;
            ASSERT_TRUE(now == before || now == after)
                << "after the " << i << "th write";
            expect_consistency();
            ASSERT_FALSE(HasFailure()) << "after the " << i << "th write";
        }
        EXPECT_GT(undone, 10);
        EXPECT_LT(undone, memories.size());
        cycle_.restore(memories.back());
    }

    // Kills also the next worker, which undoes the change.
    void expect_undo_to_be_repeated(
        const std::string& before, const std::string& after)
    {
        auto [worker, memories] =
            cycle_.step_through([this] { Change change(table_); });
        for (const auto& memory : memories) {
            cycle_.restore(memory);
            cycle_.unlock(worker);
            auto now = content();
            ASSERT_TRUE(now == before || now == after);
            expect_consistency();
        }
    }

    Cycle cycle_;
    ShmTable table_;
};

TEST_F(ShmTableTest, HoldsBlobsOfAnySize)
{
    auto size = std::array{std::size_t{0}, std::size_t{1}, head - 1, head,
        head + 1, head + body, head + body + 1, std::size_t{3000}};
    for (std::size_t n = 1; n <= size.size(); n++) {
        insert(n, size[n - 1]);
    }
    for (std::size_t n = 1; n <= size.size(); n++) {
        EXPECT_EQ(blob_of(table_.find(0, key(n))), blob(n, size[n - 1]));
    }
    expect_consistency();
}

TEST_F(ShmTableTest, TellsKeysOfSpacesApart)
{
    insert(1, 1);
    Change change(table_);
    auto same = key(1);
    auto other = entry(2, same, "");
    other.space = 1;
    auto index = table_.insert(change, other);
    EXPECT_EQ(table_.find(1, key(1)), index);
    EXPECT_NE(table_.find(0, key(1)), index);
    EXPECT_EQ(table_.find(2, key(1)), 0);
}

TEST_F(ShmTableTest, UndoesWhatIsNotCommitted)
{
    insert(1, 100, "a");
    insert(2, 200, "a", 1);
    auto before = content();
    {
        Change change(table_);
        table_.touch(change, table_.find(0, key(1)));
        table_.move(change, table_.find(0, key(2)), 0, "b");
        table_.insert(change, entry(3, key(3), blob(3, 300), "a"));
        table_.remove(change, table_.find(0, key(1)));
    }
    EXPECT_EQ(content(), before);
    expect_consistency();
}

TEST_F(ShmTableTest, RefusesAChangeThatIsTooLong)
{
    insert(1, 3000);
    auto before = content();
    EXPECT_THROW(
        {
            Change change(table_);
            table_.overwrite(change, table_.find(0, key(1)), blob(2, 3000));
        },
        std::length_error);
    EXPECT_EQ(content(), before);
}

TEST_F(ShmTableTest, DoesNotUseBlocksThatAnUndoNeeds)
{
    insert(1, 100);
    Change change(table_);
    table_.remove(change, table_.find(0, key(1)));
    EXPECT_THROW(table_.insert(change, entry(2, key(2), "")), std::logic_error);
    change.commit();
    EXPECT_NO_THROW(table_.insert(change, entry(2, key(2), "")));
}

TEST_F(ShmTableTest, RefusesARecordWithoutRoom)
{
    Change change(table_);
    auto large = blob(1, table_.room() * block_size);
    EXPECT_THROW(
        table_.insert(change, entry(1, key(1), large)), std::logic_error);
}

TEST_F(ShmTableTest, StaysConsistentAfterRandomChanges)
{
    std::minstd_rand random(1);
    std::map<std::size_t, std::string> model;
    for (int i = 0; i < 20'000; i++) {
        auto n = 1 + random() % 40;
        auto owner =
            std::string("abc").substr(random() % 4 == 0 ? 3 : n % 3, 1);
        auto queue = static_cast<std::uint8_t>(random() % queues);
        auto size = random() % 300;
        Change change(table_);
        auto index = table_.find(0, key(n));
        switch (random() % 4) {
        case 0:
            if (table_.room() >= table_.blocks_of(size)) {
                model[n] = blob(n, size);
                table_.insert(change, entry(n, key(n), model[n], owner, queue));
                if (index != 0) {
                    table_.remove(change, index);
                }
            }
            break;
        case 1:
            if (index != 0) {
                table_.remove(change, index);
                model.erase(n);
            }
            break;
        case 2:
            if (index != 0) {
                table_.touch(change, index);
            }
            break;
        default:
            if (index != 0) {
                table_.move(change, index, queue, owner);
            }
        }
        change.commit();
    }
    EXPECT_FALSE(model.empty());
    for (const auto& [n, text] : model) {
        EXPECT_EQ(blob_of(table_.find(0, key(n))), text);
    }
    expect_consistency();
}

TEST_F(ShmTableTest, SweepsExpiredRecordsOfAnyAge)
{
    for (std::size_t n = 1; n <= 40; n++) {
        insert(n % 3 == 0 ? n : 1000 + n, 1);
    }
    Change change(table_);
    for (int i = 0; i < 12; i++) {
        table_.sweep(change, 0, noon + 40s);
    }
    EXPECT_EQ(table_.count(0), 40 - 40 / 3);
    table_.sweep(change, 0, noon + 1025s);
    EXPECT_LE(table_.count(0), 40 - 40 / 3 - 4)
        << "several of the oldest at once";
}

// The buckets of one table do not show keys of another table.
class ShmTables : public ShmTableTest {
protected:
    // Those of the first `count` keys that share the bucket of key 0.
    std::set<std::size_t> neighbours(std::size_t count)
    {
        std::set<std::size_t> found;
        insert(0, 0);
        for (std::size_t n = 1; n < count; n++) {
            auto text = key(n);
            std::array<std::string_view, 1> keys{text};
            if (table_.may_have(0, keys)) {
                found.insert(n);
            }
        }
        return found;
    }
};

class OtherShmTable : public ShmTables {
public:
    using ShmTables::neighbours;
    void TestBody() override {}
};

TEST_F(ShmTables, HaveBucketsThatNobodyCanPredict)
{
    auto chosen = neighbours(5000);
    EXPECT_GT(chosen.size(), 20);
    constexpr std::size_t tables = 50;
    std::size_t common = 0;
    for (std::size_t i = 0; i < tables; i++) {
        for (auto n : OtherShmTable().neighbours(5000)) {
            common += chosen.contains(n);
        }
    }
    EXPECT_LT(common, chosen.size() * tables / 4);
}

// A table with other records, with released blocks, and with an owner of
// several records.
class WorkerKilledAtAnyInstruction : public ShmTableTest {
protected:
    WorkerKilledAtAnyInstruction()
    {
        for (std::size_t n = 1; n <= 9; n++) {
            auto owner = n % 3 == 0 ? "" : "owner";
            insert(n, n * 40, owner, n < 7 ? 0 : 1);
        }
        remove(2);
        remove(5);
    }
};

TEST_F(WorkerKilledAtAnyInstruction, HasInsertedOrNot)
{
    expect_all_or_nothing([this] { insert(20, 10, "owner"); });
}

TEST_F(WorkerKilledAtAnyInstruction, HasInsertedALargeRecordOrNot)
{
    expect_all_or_nothing([this] { insert(20, 500, "owner", 2); });
}

TEST_F(WorkerKilledAtAnyInstruction, HasRemovedOrNot)
{
    for (std::size_t n : {1, 4, 9}) {
        expect_all_or_nothing([this, n] { remove(n); });
    }
}

TEST_F(WorkerKilledAtAnyInstruction, HasReplacedOrNot)
{
    expect_all_or_nothing([this] {
        Change change(table_);
        auto before = table_.find(0, key(4));
        table_.insert(change, entry(21, key(4), blob(21, 300), "owner"));
        table_.remove(change, before);
        change.commit();
    });
}

TEST_F(WorkerKilledAtAnyInstruction, HasTouchedOrNot)
{
    expect_all_or_nothing([this] {
        Change change(table_);
        table_.touch(change, table_.find(0, key(1)));
        change.commit();
    });
}

TEST_F(WorkerKilledAtAnyInstruction, HasMovedOrNot)
{
    expect_all_or_nothing([this] {
        Change change(table_);
        table_.move(change, table_.find(0, key(4)), 1, "another");
        change.commit();
    });
}

TEST_F(WorkerKilledAtAnyInstruction, HasOverwrittenOrNot)
{
    expect_all_or_nothing([this] {
        Change change(table_);
        table_.overwrite(change, table_.find(0, key(3)), blob(99, 120));
        change.commit();
    });
}

// The worker is not reaped: nginx handles SIGCHLD later.
TEST_F(WorkerKilledAtAnyInstruction, DoesNotLockOutTheMaster)
{
    auto before = content();
    auto worker = start_worker([this] {
        Change change(table_);
        table_.remove(change, table_.find(0, key(1)));
        raise(SIGKILL);
    });
    siginfo_t info;
    waitid(P_PID, worker, &info, WEXITED | WNOWAIT);
    ngx_process = NGX_PROCESS_MASTER;
    EXPECT_EQ(content(), before);
    ngx_process = NGX_PROCESS_SINGLE;
    kill_worker(worker);
}

TEST_F(WorkerKilledAtAnyInstruction, HasSweptOneOrNot)
{
    remove(3);
    expect_all_or_nothing([this] {
        Change change(table_);
        table_.sweep(change, 0, noon + 1s);
    });
}

}
}
