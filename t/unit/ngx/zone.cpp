#include "ngx/zone.h"

#include "cycle.h"

#include <array>
#include <gtest/gtest.h>
#include <unistd.h>

namespace ngx::test {
namespace {

using Purpose = Zone::Purpose;
using Taken = Zone::Taken;

constexpr std::int64_t noon = 1'700'000'000;
constexpr std::int64_t hour = 3600;
constexpr std::int64_t ms = 1000;

std::string id(std::size_t n)
{
    auto text = std::to_string(n);
    return std::string(Zone::revocation_size - text.size(), '0') + text;
}

// A key whose record stands in a place of its own.
std::string key(std::size_t n)
{
    auto bytes = id(n);
    auto mixed = n * 0x9e3779b97f4a7c15;
    memcpy(&bytes[0], &mixed, sizeof(mixed));
    return bytes;
}

class ZoneTest : public testing::Test {
protected:
    explicit ZoneTest(std::size_t size = Zone::least_size) :
        zone_(*Zone::add(cycle_.conf(), size))
    {
        cycle_.start();
    }

    Taken take(Purpose purpose, std::size_t n, std::int64_t now = noon)
    {
        return zone_.take(purpose, id(n), now, now + hour).taken;
    }

    std::string left(Purpose purpose, std::size_t n, std::int64_t now = noon)
    {
        return zone_.take(purpose, id(n), now, now + hour).left;
    }

    void take_and_leave(Purpose purpose, std::size_t n, const std::string& text)
    {
        EXPECT_EQ(take(purpose, n), Taken::ours);
        zone_.leave(id(n), text, noon, 300);
    }

    // More logins than there is room for.
    void flood(std::size_t from = 100'000)
    {
        for (auto n = from; n < from + 3000; n++) {
            EXPECT_EQ(take(Purpose::login, n), Taken::ours);
        }
    }

    bool revoke(std::size_t n, bool asked_by_anyone = false,
        std::int64_t until = noon + hour, std::int64_t now = noon)
    {
        return zone_.revoke(key(n), noon * ms, until, now, asked_by_anyone);
    }

    std::int64_t revoked_at(std::size_t n)
    {
        auto text = key(n);
        std::array<std::string_view, 1> keys{text};
        return zone_.revoked_at(keys);
    }

    Cycle cycle_;
    Zone& zone_;
};

class EveryPurpose : public ZoneTest,
                     public testing::WithParamInterface<Purpose> {};

INSTANTIATE_TEST_SUITE_P(Of, EveryPurpose,
    testing::Values(Purpose::login, Purpose::renewal, Purpose::logout));

TEST_P(EveryPurpose, IsTakenOnce)
{
    EXPECT_EQ(take(GetParam(), 1), Taken::ours);
    EXPECT_EQ(take(GetParam(), 1), Taken::busy);
    EXPECT_EQ(take(GetParam(), 2), Taken::ours);
}

TEST_P(EveryPurpose, LeavesItsTextAsLongAsSaid)
{
    take(GetParam(), 1);
    zone_.leave(id(1), "text", noon, 30);
    EXPECT_EQ(take(GetParam(), 1), Taken::ended);
    EXPECT_EQ(left(GetParam(), 1, noon + 29), "text");
    EXPECT_EQ(left(GetParam(), 1, noon + 30), "");
}

TEST_P(EveryPurpose, IsFreeAfterItsTimeWhereItDoesNotEnd)
{
    take(GetParam(), 1);
    EXPECT_EQ(take(GetParam(), 1, noon + hour - 1), Taken::busy);
    EXPECT_EQ(take(GetParam(), 1, noon + hour), Taken::ours);
}

TEST_F(ZoneTest, RemembersALoginForAllOfItsTime)
{
    take_and_leave(Purpose::login, 1, "");
    EXPECT_EQ(take(Purpose::login, 1, noon + hour - 1), Taken::ended);
    EXPECT_EQ(take(Purpose::login, 1, noon + hour), Taken::ours);
}

TEST_F(ZoneTest, RemembersARenewalAsLongAsItsText)
{
    take_and_leave(Purpose::renewal, 1, "");
    EXPECT_EQ(take(Purpose::renewal, 1, noon + 299), Taken::ended);
    EXPECT_EQ(take(Purpose::renewal, 1, noon + 300), Taken::ours);
}

TEST_P(EveryPurpose, KeepsATextLongerThanItsOwnTime)
{
    zone_.take(GetParam(), id(1), noon, noon + 1);
    zone_.leave(id(1), "text", noon, 300);
    EXPECT_EQ(left(GetParam(), 1, noon + 299), "text");
    EXPECT_EQ(take(GetParam(), 1, noon + 300), Taken::ours);
}

TEST_P(EveryPurpose, MayLeaveNothing)
{
    take_and_leave(GetParam(), 1, "");
    EXPECT_EQ(take(GetParam(), 1), Taken::ended);
    EXPECT_EQ(left(GetParam(), 1), "");
}

TEST_P(EveryPurpose, LeavesTextsUpToALimit)
{
    std::string longest(Zone::longest_left, 'x');
    take_and_leave(GetParam(), 1, longest);
    EXPECT_EQ(left(GetParam(), 1), longest);
    take_and_leave(GetParam(), 2, longest + "x");
    EXPECT_EQ(take(GetParam(), 2), Taken::ended);
    EXPECT_EQ(left(GetParam(), 2), "");
}

TEST_P(EveryPurpose, MayBeTriedAgainUnlessItIsALogin)
{
    auto then = GetParam() == Purpose::login ? Taken::abandoned : Taken::ours;
    take(GetParam(), 1);
    zone_.abandon(id(1));
    EXPECT_EQ(take(GetParam(), 1), then);

    auto worker = start_worker([&] { take(GetParam(), 2); });
    EXPECT_TRUE(await_worker(worker));
    EXPECT_EQ(take(GetParam(), 2), then);
}

TEST_P(EveryPurpose, IsNotAbandonedByAnotherWorker)
{
    take(GetParam(), 1);
    EXPECT_TRUE(await_worker(start_worker([&] { zone_.abandon(id(1)); })));
    EXPECT_EQ(take(GetParam(), 1), Taken::busy);
}

TEST_P(EveryPurpose, LastsWhileItsWorkerLives)
{
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    auto worker = start_worker([&] {
        take(GetParam(), 1);
        EXPECT_EQ(write(ready[1], "!", 1), 1);
        pause();
    });
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    EXPECT_EQ(take(GetParam(), 1), Taken::busy);
    EXPECT_TRUE(kill_worker(worker));
    EXPECT_NE(take(GetParam(), 1), Taken::busy);
}

TEST_F(ZoneTest, ForgetsTheOldestLoginsWhenFull)
{
    take(Purpose::login, 1);
    flood();
    EXPECT_EQ(take(Purpose::login, 102'999), Taken::busy);
    EXPECT_EQ(take(Purpose::login, 1), Taken::ours);
}

TEST_F(ZoneTest, KeepsRenewalsWhenLoginsFillIt)
{
    take_and_leave(Purpose::renewal, 1, "result");
    take(Purpose::renewal, 2);
    take_and_leave(Purpose::logout, 3, "");
    flood();
    EXPECT_EQ(left(Purpose::renewal, 1), "result");
    EXPECT_EQ(take(Purpose::renewal, 2), Taken::busy);
    EXPECT_EQ(take(Purpose::logout, 3), Taken::ended);
}

TEST_F(ZoneTest, TakesAnyLoginWhereRenewalsFillIt)
{
    for (std::size_t n = 0; n < 1000; n++) {
        take(Purpose::renewal, n);
    }
    flood();
    EXPECT_EQ(take(Purpose::renewal, 0), Taken::busy);
}

TEST_F(ZoneTest, ForgetsEndedRenewalsForNewOnes)
{
    take(Purpose::renewal, 1);
    for (std::size_t n = 2; n < 1000; n++) {
        take_and_leave(Purpose::renewal, n, std::string(3000, 'x'));
    }
    EXPECT_EQ(take(Purpose::renewal, 1), Taken::busy);
    EXPECT_EQ(left(Purpose::renewal, 2), "");
    EXPECT_EQ(left(Purpose::renewal, 999), std::string(3000, 'x'));
}

TEST_F(ZoneTest, KnowsNoRevocationAtFirst)
{
    EXPECT_FALSE(zone_.has_revocations());
    EXPECT_EQ(revoked_at(1), 0);
}

TEST_F(ZoneTest, TellsTheLatestRevocationOfSeveralKeys)
{
    zone_.revoke(key(1), 1000, noon + hour, noon, false);
    zone_.revoke(key(2), 3000, noon + hour, noon, false);
    EXPECT_TRUE(zone_.has_revocations());
    auto texts = std::array{key(1), key(2), key(3)};
    std::array<std::string_view, 3> keys{texts[0], texts[1], texts[2]};
    EXPECT_EQ(zone_.revoked_at(keys), 3000);
    EXPECT_EQ(revoked_at(1), 1000);
    EXPECT_EQ(revoked_at(3), 0);
}

TEST_F(ZoneTest, TellsKeysOfOneBucketApart)
{
    auto near = key(1);
    near.back() ^= 1;
    zone_.revoke(key(1), 1000, noon + hour, noon, false);
    zone_.revoke(near, 2000, noon + 1, noon, false);
    EXPECT_EQ(revoked_at(1), 1000);
    revoke(2, false, noon + hour, noon + 1); // sweeps
    std::array<std::string_view, 1> keys{near};
    EXPECT_EQ(zone_.revoked_at(keys), 0);
    EXPECT_EQ(revoked_at(1), 1000);
}

TEST_F(ZoneTest, MovesARevocationOnAndNeverBack)
{
    zone_.revoke(key(1), 2000, noon + hour, noon, false);
    zone_.revoke(key(1), 3000, noon + 1, noon, true);
    EXPECT_EQ(revoked_at(1), 3000);
    zone_.revoke(key(1), 1000, noon + 1, noon, false);
    EXPECT_EQ(revoked_at(1), 3000);
    take(Purpose::login, 1, noon + hour - 1);
    EXPECT_EQ(revoked_at(1), 3000);
}

TEST_F(ZoneTest, ForgetsRevocationsAfterTheirTime)
{
    revoke(1, false, noon + hour);
    for (std::size_t n = 2; n < 10; n++) {
        revoke(n, n % 2 == 0, noon + 1);
    }
    take(Purpose::login, 1, noon + 1);
    take(Purpose::login, 2, noon + 1);
    EXPECT_EQ(revoked_at(2), 0);
    EXPECT_EQ(revoked_at(9), 0);
    EXPECT_NE(revoked_at(1), 0);
    take(Purpose::login, 3, noon + hour);
    EXPECT_FALSE(zone_.has_revocations());
}

TEST_F(ZoneTest, SaysThatThereIsNoRoomForARevocation)
{
    std::size_t count = 0;
    while (revoke(count)) {
        count++;
    }
    EXPECT_GT(count, Zone::least_size / 200);
    EXPECT_NE(revoked_at(0), 0);
    EXPECT_NE(revoked_at(count - 1), 0);
    EXPECT_EQ(revoked_at(count), 0);
    EXPECT_TRUE(revoke(0)) << "it has its record";
    flood();
    EXPECT_NE(revoked_at(0), 0) << "no login pushes it out";
    EXPECT_TRUE(revoke(count, false, noon + 2 * hour, noon + hour))
        << "the others have expired";
}

TEST_F(ZoneTest, GivesAnEighthToRevocationsThatAnybodyCanAskFor)
{
    revoke(1);
    constexpr std::size_t most = Zone::least_size / 8 / 64;
    for (std::size_t n = 1000; n < 1000 + 3 * most; n++) {
        EXPECT_TRUE(revoke(n, true));
    }
    std::size_t count = 0;
    for (std::size_t n = 1000; n < 1000 + 3 * most; n++) {
        count += revoked_at(n) != 0;
    }
    EXPECT_EQ(count, most);
    EXPECT_NE(revoked_at(1000 + 3 * most - 1), 0);
    EXPECT_NE(revoked_at(1), 0);
}

TEST_F(ZoneTest, KeepsARevocationThatIsAskedForByMoreThanAnyone)
{
    revoke(1, true);
    revoke(1, false);
    revoke(2, false);
    revoke(2, true);
    for (std::size_t n = 1000; n < 2000; n++) {
        revoke(n, true);
    }
    EXPECT_NE(revoked_at(1), 0);
    EXPECT_NE(revoked_at(2), 0);
}

TEST_F(ZoneTest, KeepsRenewalsWhenAnybodysRevocationsFillIt)
{
    take_and_leave(Purpose::renewal, 1, "result");
    for (std::size_t n = 1000; n < 5000; n++) {
        revoke(n, true);
    }
    EXPECT_EQ(left(Purpose::renewal, 1), "result");
}

TEST_F(ZoneTest, OutlivesAReload)
{
    take_and_leave(Purpose::renewal, 1, "result");
    revoke(1);
    Cycle next;
    auto& zone = *Zone::add(next.conf(), Zone::least_size);
    next.reload(cycle_);
    EXPECT_EQ(zone.key().reveal(), zone_.key().reveal());
    EXPECT_EQ(
        zone.take(Purpose::renewal, id(1), noon, noon + hour).left, "result");
    EXPECT_TRUE(zone.has_revocations());
}

TEST_F(ZoneTest, KeepsItsKeyWithAnotherSize)
{
    Cycle next;
    auto& zone = *Zone::add(next.conf(), 2 * Zone::least_size);
    next.reload(cycle_);
    EXPECT_EQ(zone.key().reveal(), zone_.key().reveal());
}

}
}
