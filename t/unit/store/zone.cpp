#include "store/zone.h"

#include "oidc/errors.h"
#include "support/cycle.h"

#include <array>
#include <atomic>
#include <functional>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace ngx::test {
namespace {

using Purpose = Zone::Purpose;

constexpr Time noon = oidc::from_seconds(1'700'000'000);
constexpr Seconds hour = 1h;

constexpr TimeMs at(std::int64_t milliseconds)
{
    return oidc::from_milliseconds(milliseconds);
}

std::string id(std::size_t n)
{
    auto text = std::to_string(n);
    return std::string(Zone::key_size - text.size(), '0') + text;
}

// A key that shares no bucket with the others.
std::string key(std::size_t n)
{
    auto bytes = id(n);
    auto mixed = n * 0x9e3779b97f4a7c15;
    memcpy(&bytes[0], &mixed, sizeof(mixed));
    return bytes;
}

class ZoneTest : public testing::Test {
protected:
    explicit ZoneTest(std::size_t size = Zone::min_size) :
        zone_(*Zone::add(cycle_.conf(), size))
    {
        cycle_.start();
    }

    LockState acquire(Purpose purpose, std::size_t n, Time now = noon)
    {
        return zone_.acquire(purpose, id(n), now, now + hour).state;
    }

    std::string result(Purpose purpose, std::size_t n, Time now = noon)
    {
        return zone_.acquire(purpose, id(n), now, now + hour).result;
    }

    void acquire_and_finish(
        Purpose purpose, std::size_t n, const std::string& text)
    {
        EXPECT_EQ(acquire(purpose, n), LockState::ours);
        zone_.finish(id(n), text, noon, 300s);
    }

    // Acquires more logins than there is room for.
    void flood(std::size_t from = 100'000)
    {
        for (auto n = from; n < from + 3000; n++) {
            EXPECT_EQ(acquire(Purpose::login, n), LockState::ours);
        }
    }

    bool revoke(std::size_t n, Time until = noon + hour, Time now = noon)
    {
        return revoke_of("", n, noon, until, now);
    }

    // A proven revocation of that subject.
    bool revoke_of(std::string_view subject, std::size_t n, TimeMs at = noon,
        Time until = noon + hour, Time now = noon)
    {
        auto text = key(n);
        return zone_.revoke({text, subject, true, at, until}, now);
    }

    // A revocation that is not proven, from that address.
    bool revoke_unproven(std::size_t n, std::string_view address = "",
        TimeMs at = noon, Time until = noon + hour)
    {
        auto text = key(n);
        return zone_.revoke({text, address, false, at, until}, noon);
    }

    TimeMs revoked_at(std::size_t n) { return revoked_at(zone_, key(n)); }

    static TimeMs revoked_at(const Zone& zone, std::string_view text)
    {
        std::array<std::string_view, 1> keys{text};
        return zone.revoked_at(keys);
    }

    // How many keys of the range are revoked.
    std::size_t count_revoked(std::size_t from, std::size_t to)
    {
        std::size_t count = 0;
        for (auto n = from; n < to; n++) {
            count += revoked_at(n) != TimeMs();
        }
        return count;
    }

    void pin(std::size_t n, std::string_view subject)
    {
        auto text = key(n);
        std::array<std::string_view, 2> keys{text, subject};
        zone_.pin(keys, subject, noon);
    }

    // More revocations that are not proven than there is room for.
    void revoke_many_unproven(std::string_view address = "")
    {
        for (std::size_t n = 500'000; n < 506'000; n++) {
            EXPECT_TRUE(revoke_unproven(n, address));
        }
    }

    Cycle cycle_;
    Zone& zone_;
};

class EveryPurpose : public ZoneTest,
                     public testing::WithParamInterface<Purpose> {};

INSTANTIATE_TEST_SUITE_P(Of, EveryPurpose,
    testing::Values(Purpose::login, Purpose::renewal, Purpose::logout));

TEST_P(EveryPurpose, IsAcquiredOnce)
{
    EXPECT_EQ(acquire(GetParam(), 1), LockState::ours);
    EXPECT_EQ(acquire(GetParam(), 1), LockState::busy);
    EXPECT_EQ(acquire(GetParam(), 2), LockState::ours);
}

TEST_P(EveryPurpose, KeepsItsResultForTheGivenTime)
{
    acquire(GetParam(), 1);
    zone_.finish(id(1), "text", noon, 30s);
    EXPECT_EQ(acquire(GetParam(), 1), LockState::ended);
    EXPECT_EQ(result(GetParam(), 1, noon + 29s), "text");
    EXPECT_EQ(result(GetParam(), 1, noon + 30s), "");
}

TEST_P(EveryPurpose, ExpiresWithoutAnEnd)
{
    acquire(GetParam(), 1);
    EXPECT_EQ(acquire(GetParam(), 1, noon + hour - 1s), LockState::busy);
    EXPECT_EQ(acquire(GetParam(), 1, noon + hour), LockState::ours);
}

TEST_F(ZoneTest, RemembersALoginUntilItExpires)
{
    acquire_and_finish(Purpose::login, 1, "");
    EXPECT_EQ(acquire(Purpose::login, 1, noon + hour - 1s), LockState::ended);
    EXPECT_EQ(acquire(Purpose::login, 1, noon + hour), LockState::ours);
}

TEST_F(ZoneTest, RemembersARenewalAsLongAsItsResult)
{
    acquire_and_finish(Purpose::renewal, 1, "");
    EXPECT_EQ(acquire(Purpose::renewal, 1, noon + 299s), LockState::ended);
    EXPECT_EQ(acquire(Purpose::renewal, 1, noon + 300s), LockState::ours);
}

TEST_P(EveryPurpose, KeepsAResultLongerThanTheLock)
{
    zone_.acquire(GetParam(), id(1), noon, noon + 1s);
    zone_.finish(id(1), "text", noon, 300s);
    EXPECT_EQ(result(GetParam(), 1, noon + 299s), "text");
    EXPECT_EQ(acquire(GetParam(), 1, noon + 300s), LockState::ours);
}

TEST_P(EveryPurpose, MayEndWithoutAResult)
{
    acquire_and_finish(GetParam(), 1, "");
    EXPECT_EQ(acquire(GetParam(), 1), LockState::ended);
    EXPECT_EQ(result(GetParam(), 1), "");
}

TEST_P(EveryPurpose, KeepsResultsUpToALimit)
{
    std::string largest(Zone::max_result, 'x');
    acquire_and_finish(GetParam(), 1, largest);
    EXPECT_EQ(result(GetParam(), 1), largest);
    acquire_and_finish(GetParam(), 2, largest + "x");
    EXPECT_EQ(acquire(GetParam(), 2), LockState::ended);
    EXPECT_EQ(result(GetParam(), 2), "");
}

TEST_P(EveryPurpose, CanBeAcquiredAgainUnlessItIsALogin)
{
    auto then =
        GetParam() == Purpose::login ? LockState::abandoned : LockState::ours;
    acquire(GetParam(), 1);
    zone_.abandon(id(1));
    EXPECT_EQ(acquire(GetParam(), 1), then);

    auto worker = start_worker([&] { acquire(GetParam(), 2); });
    EXPECT_TRUE(await_worker(worker));
    EXPECT_EQ(acquire(GetParam(), 2), then);
}

TEST_P(EveryPurpose, IsNotAbandonedByAnotherWorker)
{
    acquire(GetParam(), 1);
    EXPECT_TRUE(await_worker(start_worker([&] { zone_.abandon(id(1)); })));
    EXPECT_EQ(acquire(GetParam(), 1), LockState::busy);
}

TEST_P(EveryPurpose, IsHeldWhileItsWorkerLives)
{
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    auto worker = start_worker([&] {
        acquire(GetParam(), 1);
        EXPECT_EQ(write(ready[1], "!", 1), 1);
        pause();
    });
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    EXPECT_EQ(acquire(GetParam(), 1), LockState::busy);
    EXPECT_TRUE(kill_worker(worker));
    EXPECT_NE(acquire(GetParam(), 1), LockState::busy);
}

TEST_F(ZoneTest, EvictsTheOldestLoginsWhenFull)
{
    acquire(Purpose::login, 1);
    flood();
    EXPECT_EQ(acquire(Purpose::login, 102'999), LockState::busy);
    EXPECT_EQ(acquire(Purpose::login, 1), LockState::ours);
}

TEST_F(ZoneTest, KeepsRenewalsWhenLoginsFillIt)
{
    acquire_and_finish(Purpose::renewal, 1, "result");
    acquire(Purpose::renewal, 2);
    acquire_and_finish(Purpose::logout, 3, "");
    flood();
    EXPECT_EQ(result(Purpose::renewal, 1), "result");
    EXPECT_EQ(acquire(Purpose::renewal, 2), LockState::busy);
    EXPECT_EQ(acquire(Purpose::logout, 3), LockState::ended);
}

TEST_F(ZoneTest, AcquiresLoginsWhereRenewalsFillIt)
{
    for (std::size_t n = 0; n < 1000; n++) {
        acquire(Purpose::renewal, n);
    }
    flood();
    EXPECT_EQ(acquire(Purpose::renewal, 0), LockState::busy);
}

TEST_F(ZoneTest, EvictsEndedRenewalsForNewOnes)
{
    acquire(Purpose::renewal, 1);
    for (std::size_t n = 2; n < 1000; n++) {
        acquire_and_finish(Purpose::renewal, n, std::string(3000, 'x'));
    }
    EXPECT_EQ(acquire(Purpose::renewal, 1), LockState::busy);
    EXPECT_EQ(result(Purpose::renewal, 2), "");
    EXPECT_EQ(result(Purpose::renewal, 999), std::string(3000, 'x'));
}

TEST_F(ZoneTest, HasNoRevocationAtFirst)
{
    EXPECT_FALSE(zone_.has_revocations());
    EXPECT_EQ(revoked_at(1), TimeMs());
}

TEST_F(ZoneTest, ReturnsTheLatestRevocationOfSeveralKeys)
{
    revoke_of("", 1, at(1000));
    revoke_of("", 2, at(3000));
    EXPECT_TRUE(zone_.has_revocations());
    auto texts = std::array{key(1), key(2), key(3)};
    std::array<std::string_view, 3> keys{texts[0], texts[1], texts[2]};
    EXPECT_EQ(zone_.revoked_at(keys), at(3000));
    EXPECT_EQ(revoked_at(1), at(1000));
    EXPECT_EQ(revoked_at(3), TimeMs());
}

TEST_F(ZoneTest, MovesRevocationsLaterOnly)
{
    revoke_of("", 1, at(2000));
    revoke_unproven(1, "", at(3000), noon + 1s);
    EXPECT_EQ(revoked_at(1), at(3000));
    revoke_of("", 1, at(1000), noon + 1s);
    EXPECT_EQ(revoked_at(1), at(3000));
    for (int i = 0; i < 9; i++) {
        acquire(Purpose::login, 1 + i, noon + hour - 1s);
    }
    EXPECT_EQ(revoked_at(1), at(3000));
}

TEST_F(ZoneTest, RemovesExpiredRevocations)
{
    revoke(1, noon + hour);
    for (std::size_t n = 2; n < 10; n += 2) {
        revoke_unproven(n, "", noon, noon + 1s);
        revoke(n + 1, noon + 1s);
    }
    acquire(Purpose::login, 1, noon + 1s);
    acquire(Purpose::login, 2, noon + 1s);
    EXPECT_EQ(count_revoked(2, 10), 0);
    EXPECT_NE(revoked_at(1), TimeMs());
    acquire(Purpose::login, 3, noon + hour);
    EXPECT_FALSE(zone_.has_revocations());
}

TEST_F(ZoneTest, RefusesARevocationWithoutRoom)
{
    std::size_t count = 0;
    while (revoke(count)) {
        count++;
    }
    EXPECT_GT(count, Zone::min_size / 140);
    EXPECT_EQ(count_revoked(0, count), count);
    EXPECT_EQ(revoked_at(count), TimeMs());
    EXPECT_TRUE(revoke(0)) << "it has its record";
    flood();
    EXPECT_NE(revoked_at(0), TimeMs()) << "no login evicts it";
    EXPECT_TRUE(revoke(count, noon + 2 * hour, noon + hour))
        << "the others have expired";
}

TEST_F(ZoneTest, RevokesForASubjectWithRecordsWhereThereIsNoRoom)
{
    auto user = key(900'001);
    auto other = key(900'002);
    revoke_of(user, 900'003);
    std::size_t count = 0;
    while (revoke(count)) {
        count++;
    }
    EXPECT_TRUE(revoke_of(user, 900'004));
    EXPECT_NE(revoked_at(zone_, user), TimeMs());
    EXPECT_FALSE(revoke_of(other, 900'005));
    EXPECT_EQ(count_revoked(0, count), count);
}

TEST_F(ZoneTest, MakesOneRecordOfASubjectsFullShare)
{
    auto user = key(900'001);
    for (std::size_t n = 0; n < Zone::max_records; n++) {
        EXPECT_TRUE(revoke_of(user, n, at(5000 - n), noon + 10s + Seconds(n)));
    }
    EXPECT_EQ(count_revoked(0, Zone::max_records), Zone::max_records);
    EXPECT_EQ(revoked_at(zone_, user), TimeMs());

    EXPECT_TRUE(revoke_of(user, Zone::max_records, at(1000), noon + 1s));
    EXPECT_EQ(count_revoked(0, Zone::max_records + 1), 0);
    EXPECT_EQ(revoked_at(zone_, user), at(5000)) << "the latest of all times";
    for (int i = 0; i < 9; i++) {
        acquire(
            Purpose::login, 1 + i, noon + 10s + Seconds(Zone::max_records - 2));
    }
    EXPECT_EQ(revoked_at(zone_, user), at(5000)) << "as long as the longest";

    EXPECT_TRUE(revoke_of(user, 1000));
    EXPECT_NE(revoked_at(1000), TimeMs()) << "there is room for further ones";
    EXPECT_EQ(revoked_at(zone_, user), at(5000));
}

TEST_F(ZoneTest, IncludesTheTimeOfTheRevocationThatFindsTheShareFull)
{
    auto user = key(900'001);
    for (std::size_t n = 0; n < Zone::max_records; n++) {
        revoke_of(user, n, at(1000));
    }
    revoke_of(user, 100, at(7000));
    EXPECT_EQ(revoked_at(zone_, user), at(7000));
}

TEST_F(ZoneTest, HasRoomForOthersHoweverOftenOneUserLogsOut)
{
    auto user = key(900'001);
    for (std::size_t n = 0; n < 30'000; n++) {
        ASSERT_TRUE(revoke_of(user, n, at(1000 + n)));
    }
    EXPECT_GE(
        revoked_at(zone_, user), at(1000 + 30'000 - 1 - Zone::max_records));
    for (std::size_t n = 100'000; n < 100'400; n++) {
        EXPECT_TRUE(revoke(n));
    }
}

TEST_F(ZoneTest, SeparatesTheSharesOfSubjects)
{
    auto user = key(900'001);
    auto other = key(900'002);
    revoke_of(other, 1);
    for (std::size_t n = 100; n < 150; n++) {
        revoke_of(user, n);
    }
    EXPECT_NE(revoked_at(1), TimeMs());
    EXPECT_EQ(revoked_at(zone_, other), TimeMs());
}

TEST_F(ZoneTest, LimitsUnprovenRevocationsToAnEighth)
{
    revoke(1);
    revoke_many_unproven();
    auto count = count_revoked(500'000, 506'000);
    EXPECT_GT(count, Zone::min_size / 8 / 100);
    EXPECT_LT(count, Zone::min_size / 8 / 80);
    EXPECT_EQ(count_revoked(506'000 - count, 506'000), count) << "the newest";
    EXPECT_NE(revoked_at(1), TimeMs());
}

TEST_F(ZoneTest, LimitsUnprovenRevocationsOfAnAddress)
{
    revoke_many_unproven("1234");
    EXPECT_EQ(count_revoked(500'000, 506'000), 16);
    EXPECT_EQ(count_revoked(506'000 - 16, 506'000), 16) << "the newest";
}

TEST_F(ZoneTest, EvictsNoRecordOfOthersForOneAddress)
{
    revoke_unproven(1, "other");
    revoke_unproven(2);
    revoke_many_unproven("1234");
    EXPECT_NE(revoked_at(1), TimeMs());
    EXPECT_NE(revoked_at(2), TimeMs());
}

TEST_F(ZoneTest, EvictsNoRecordOfAnAddressForOneWithoutAddress)
{
    for (std::size_t n = 0; n < 60; n++) {
        revoke_unproven(n, "a" + std::to_string(n));
    }
    revoke_many_unproven();
    EXPECT_EQ(count_revoked(0, 60), 60);
    EXPECT_NE(revoked_at(505'999), TimeMs());
}

TEST_F(ZoneTest, EvictsTheOldestAddressForANewOne)
{
    for (std::size_t n = 0; n < 1000; n++) {
        EXPECT_TRUE(revoke_unproven(n, "a" + std::to_string(n)));
    }
    EXPECT_EQ(revoked_at(0), TimeMs());
    EXPECT_NE(revoked_at(999), TimeMs());
    EXPECT_TRUE(revoke_unproven(2000)) << "also without an address";
    EXPECT_NE(revoked_at(2000), TimeMs());
}

TEST_F(ZoneTest, DistinguishesAddressesOfDifferentSizes)
{
    using namespace std::string_view_literals;
    revoke_unproven(1, "a\0"sv);
    revoke_many_unproven("a");
    EXPECT_NE(revoked_at(1), TimeMs());
}

TEST_F(ZoneTest, KeepsAnUnprovenRevocationThatIsProvenToo)
{
    revoke_unproven(1);
    revoke(1);
    revoke(2);
    revoke_unproven(2);
    revoke_unproven(3, "1234");
    revoke(3);
    revoke_many_unproven();
    revoke_many_unproven("1234");
    EXPECT_EQ(count_revoked(1, 4), 3);
}

TEST_F(ZoneTest, KeepsARevocationThatHasMatchedASession)
{
    auto user = key(900'001);
    revoke_unproven(1);
    revoke_unproven(2, "1234");
    pin(1, user);
    pin(2, user);
    revoke_many_unproven();
    revoke_many_unproven("1234");
    EXPECT_EQ(count_revoked(1, 3), 2);
}

TEST_F(ZoneTest, CountsAMatchedRevocationForItsSubject)
{
    auto user = key(900'001);
    for (std::size_t n = 0; n < Zone::max_records; n += 2) {
        revoke_unproven(n, "1234", at(1000 + n));
        pin(n, user);
        revoke_of("", n + 1, at(1001 + n));
        pin(n + 1, user);
    }
    EXPECT_EQ(count_revoked(0, Zone::max_records), Zone::max_records);
    revoke_unproven(100, "1234", at(9000));
    pin(100, user);
    EXPECT_EQ(count_revoked(0, 101), 0);
    EXPECT_EQ(revoked_at(zone_, user), at(9000));
}

TEST_F(ZoneTest, PinsExistingRecordsOnly)
{
    pin(1, key(900'001));
    EXPECT_FALSE(zone_.has_revocations());
}

TEST_F(ZoneTest, KeepsRenewalsWhenUnprovenRevocationsFillIt)
{
    acquire_and_finish(Purpose::renewal, 1, "result");
    revoke_many_unproven();
    EXPECT_EQ(result(Purpose::renewal, 1), "result");
}

TEST_F(ZoneTest, SharesADocumentWithAllWorkers)
{
    std::string body(20'000, 'k');
    EXPECT_EQ(
        zone_.begin_fetch(id(1), {}, noon, noon + 10s), Zone::Fetcher::ours);
    EXPECT_EQ(
        zone_.begin_fetch(id(1), {}, noon, noon + 10s), Zone::Fetcher::others);
    EXPECT_TRUE(zone_.read(id(1), 0, noon).is_fetching);
    auto serial = zone_.succeed(id(1), body, noon + hour);
    auto snapshot = zone_.read(id(1), 0, noon);
    EXPECT_EQ(snapshot.body, body);
    EXPECT_EQ(snapshot.serial, serial);
    EXPECT_FALSE(snapshot.is_fetching);
    EXPECT_EQ(zone_.read(id(1), serial, noon).body, "");
    EXPECT_EQ(zone_.begin_fetch(id(1), {}, noon, noon + 10s),
        Zone::Fetcher::too_soon);
    EXPECT_EQ(zone_.begin_fetch(id(1), oidc::Asker::known, noon, noon + 10s),
        Zone::Fetcher::ours);
    EXPECT_EQ(zone_.succeed(id(1), body, noon + hour), serial) << "the same";
    EXPECT_NE(zone_.succeed(id(1), "other", noon + hour), serial);
    EXPECT_EQ(zone_.read(id(1), serial, noon).body, "other");
}

TEST_F(ZoneTest, KeepsTheFailureOfADocument)
{
    zone_.begin_fetch(id(1), {}, noon, noon + 10s);
    zone_.fail(id(1), {oidc::Errc::upstream_timeout, "too late"}, noon);
    auto snapshot = zone_.read(id(1), 0, noon);
    ASSERT_TRUE(snapshot.failure);
    EXPECT_EQ(snapshot.failure->code, oidc::Errc::upstream_timeout);
    EXPECT_EQ(snapshot.failure->detail, "too late");
    EXPECT_FALSE(snapshot.is_fetching);
    zone_.begin_fetch(id(1), {}, noon, noon + 10s);
    zone_.succeed(id(1), "body", noon + hour);
    EXPECT_FALSE(zone_.read(id(1), 0, noon).failure);
}

TEST_F(ZoneTest, ReplacesABodyThatHasNoRoomBesideTheNewOne)
{
    zone_.begin_fetch(id(1), {}, noon, noon + 10s);
    EXPECT_NE(zone_.succeed(id(1), std::string(40'000, 'a'), noon + hour), 0);
    EXPECT_NE(zone_.succeed(id(1), std::string(40'000, 'b'), noon + hour), 0);
    EXPECT_EQ(zone_.read(id(1), 0, noon).body, std::string(40'000, 'b'));
    EXPECT_EQ(zone_.succeed(id(1), std::string(80'000, 'c'), noon + hour), 0);
    EXPECT_EQ(zone_.read(id(1), 0, noon).serial, 0);
}

TEST_F(ZoneTest, EvictsTheDocumentsUsedLeastRecently)
{
    zone_.begin_fetch(id(1), {}, noon, noon + 10s);
    zone_.succeed(id(1), "body", noon + hour);
    zone_.begin_fetch(id(2), {}, noon, noon + 10s);
    zone_.succeed(id(2), "body", noon + hour);
    zone_.read(id(1), 0, noon);
    for (std::size_t n = 3; n < 2 + 256; n++) {
        zone_.begin_fetch(id(n), {}, noon, noon + 10s);
    }
    EXPECT_EQ(zone_.read(id(1), 0, noon).body, "body");
    EXPECT_EQ(zone_.read(id(2), 0, noon).serial, 0);
}

constexpr oidc::Rate ten_a_minute{10, 60s};

// Takes all tokens that are left.
int tokens_left(Zone& zone, std::size_t client, Time now = noon)
{
    int count = 0;
    while (count < 20 && zone.take_token(key(client), ten_a_minute, now)) {
        count++;
    }
    return count;
}

TEST_F(ZoneTest, HasABucketForEachClient)
{
    EXPECT_EQ(tokens_left(zone_, 1), 10);
    EXPECT_EQ(tokens_left(zone_, 1), 0);
    EXPECT_EQ(tokens_left(zone_, 2), 10);
    EXPECT_EQ(tokens_left(zone_, 1, noon + 6s), 1);
    zone_.refund_token(key(1), ten_a_minute.cost());
    EXPECT_EQ(tokens_left(zone_, 1, noon + 6s), 1);
    EXPECT_EQ(tokens_left(zone_, 1, noon + 600s), 10);
}

TEST_F(ZoneTest, RefundsNothingToAClientWithoutABucket)
{
    zone_.refund_token(key(1), ten_a_minute.cost());
    EXPECT_EQ(tokens_left(zone_, 1), 10);
}

// A client that goes on keeps its bucket, however many others there are.
TEST_F(ZoneTest, EvictsTheBucketsUsedLeastRecently)
{
    tokens_left(zone_, 1);
    tokens_left(zone_, 2);
    for (std::size_t n = 1000; n < 6000; n++) {
        EXPECT_TRUE(zone_.take_token(key(n), ten_a_minute, noon));
        EXPECT_EQ(tokens_left(zone_, 1), 0) << n;
    }
    EXPECT_EQ(tokens_left(zone_, 2), 10);
}

TEST_F(ZoneTest, KeepsOtherRecordsWhenClientsFillIt)
{
    acquire_and_finish(Purpose::renewal, 1, "result");
    EXPECT_EQ(acquire(Purpose::login, 2), LockState::ours);
    revoke(1);
    for (std::size_t n = 1000; n < 6000; n++) {
        zone_.take_token(key(n), ten_a_minute, noon);
    }
    EXPECT_EQ(result(Purpose::renewal, 1), "result");
    EXPECT_EQ(acquire(Purpose::login, 2), LockState::busy);
    EXPECT_NE(revoked_at(1), TimeMs());
}

TEST_F(ZoneTest, TakesTokensWhereLoginsFillIt)
{
    flood();
    for (std::size_t n = 1; n < 30; n++) {
        EXPECT_EQ(tokens_left(zone_, n), 10);
    }
    for (std::size_t n = 1; n < 30; n++) {
        EXPECT_EQ(tokens_left(zone_, n), 0) << "no client evicts another one";
    }
}

TEST_F(ZoneTest, OutlivesAReload)
{
    tokens_left(zone_, 1);
    acquire_and_finish(Purpose::renewal, 1, "result");
    revoke(1);
    Cycle next;
    auto& zone = *Zone::add(next.conf(), Zone::min_size);
    next.reload(cycle_);
    zone.take_over();
    EXPECT_EQ(zone.key().reveal(), zone_.key().reveal());
    EXPECT_EQ(zone.acquire(Purpose::renewal, id(1), noon, noon + hour).result,
        "result");
    EXPECT_NE(revoked_at(zone, key(1)), TimeMs());
    EXPECT_EQ(tokens_left(zone, 1), 0);
    EXPECT_TRUE(revoke(2)) << "both have the same zone";
}

// A worker that is killed after each of its machine instructions.
class KilledWorker : public ZoneTest {
protected:
    void at_every_moment(
        const std::function<void()>& work, const std::function<void()>& check)
    {
        auto [worker, memories] = cycle_.step_through(work);
        for (std::size_t i = 0; i < memories.size(); i++) {
            cycle_.restore(memories[i]);
            cycle_.unlock(worker);
            check();
            ASSERT_FALSE(HasFailure()) << "after the " << i << "th write";
        }
    }

    // For a session that has both keys.
    TimeMs revoked_at(std::size_t n, std::string_view subject)
    {
        auto text = key(n);
        std::array<std::string_view, 2> keys{text, subject};
        return zone_.revoked_at(keys);
    }
};

TEST_F(KilledWorker, ChangesStateAndResultTogether)
{
    for (auto purpose : {Purpose::login, Purpose::renewal}) {
        auto name = id(static_cast<std::size_t>(purpose));
        zone_.acquire(purpose, name, noon, noon + hour);
        std::size_t ended = 0;
        std::size_t busy = 0;
        at_every_moment([&] { zone_.finish(name, "result", noon, 30s); },
            [&] {
                auto [state, result] =
                    zone_.acquire(purpose, name, noon, noon + hour);
                ended += state == LockState::ended;
                busy += state == LockState::busy;
                EXPECT_EQ(result, state == LockState::ended ? "result" : "");
            });
        EXPECT_GT(ended, 0);
        EXPECT_GT(busy, 10);
    }
}

TEST_F(KilledWorker, KeepsADocumentWithItsOwnBody)
{
    std::string first(300, 'a');
    std::string second(500, 'b');
    zone_.begin_fetch(id(1), {}, noon, noon + 10s);
    auto serial = zone_.succeed(id(1), first, noon + 1s);
    zone_.begin_fetch(id(1), {}, noon + 1s, noon + 10s);
    zone_.fail(id(1), {oidc::Errc::upstream_timeout, "too late"}, noon + 1s);
    at_every_moment([&] { zone_.succeed(id(1), second, noon + hour); },
        [&] {
            auto snapshot = zone_.read(id(1), 0, noon + 1s);
            auto is_first = snapshot.serial == serial;
            EXPECT_EQ(snapshot.body, is_first ? first : second);
            EXPECT_EQ(snapshot.failure.has_value(), is_first);
            if (is_first) {
                EXPECT_EQ(snapshot.failure->detail, "too late");
            }
        });
}

TEST_F(KilledWorker, HasTakenATokenOrNot)
{
    zone_.take_token(key(1), ten_a_minute, noon);
    at_every_moment(
        [&] {
            zone_.take_token(key(1), ten_a_minute, noon);
            zone_.take_token(key(2), ten_a_minute, noon);
        },
        [&] {
            auto left = tokens_left(zone_, 1);
            EXPECT_TRUE(left == 8 || left == 9) << left;
            left = tokens_left(zone_, 2);
            EXPECT_TRUE(left == 9 || left == 10) << left;
        });
}

TEST_F(KilledWorker, LosesNoRevocationThatIsCollapsed)
{
    auto user = key(900'001);
    for (std::size_t n = 0; n < Zone::max_records; n++) {
        revoke_of(user, n, at(5000 - n));
    }
    at_every_moment([&] { revoke_of(user, 100, at(1000)); },
        [&] {
            for (std::size_t n = 0; n < Zone::max_records; n++) {
                EXPECT_GE(revoked_at(n, user), at(5000 - n));
            }
            EXPECT_TRUE(revoke_of(user, 101, at(1000)));
            EXPECT_TRUE(revoke_of(user, 102, at(1000)));
            EXPECT_GE(revoked_at(102, user), at(1000));
        });
}

TEST_F(KilledWorker, LosesNoRevocationThatIsPinned)
{
    auto user = key(900'001);
    revoke_unproven(1, "1234");
    revoke_unproven(2, "1234");
    at_every_moment(
        [&] { pin(1, user); }, [&] { EXPECT_EQ(count_revoked(1, 3), 2); });
}

class LargeZone : public ZoneTest {
protected:
    LargeZone() : ZoneTest(16 * Zone::min_size) {}
};

// A read without the lock is right while another worker moves records.
TEST_F(LargeZone, NeverMissesARevocationThatIsCollapsed)
{
    auto user = [](std::int64_t n) {
        return key(900'000 + static_cast<std::size_t>(n) / 40);
    };
    auto shared = mmap(nullptr, sizeof(std::atomic<std::int64_t>),
        PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_SHARED, -1, 0);
    auto& revoked = *new (shared) std::atomic<std::int64_t>(0);
    auto worker = start_worker([&] {
        for (std::int64_t n = 1; n < 40'000; n++) {
            revoke_of(user(n), static_cast<std::size_t>(n), at(n));
            revoked = n;
        }
        revoked = -1;
    });
    while (revoked == 0) {
    }
    for (std::int64_t n; (n = revoked) >= 0;) {
        auto text = key(static_cast<std::size_t>(n));
        auto subject = user(n);
        std::array<std::string_view, 2> keys{subject, text};
        for (int i = 0; i < 100; i++) {
            ASSERT_GE(zone_.revoked_at(keys), at(n));
        }
    }
    EXPECT_TRUE(await_worker(worker));
}

// The next configuration has a zone of another size.
class ZoneOfAnotherSize : public ZoneTest {
protected:
    explicit ZoneOfAnotherSize(std::size_t size = Zone::min_size) :
        ZoneTest(size)
    {
    }

    Zone& reload(std::size_t size)
    {
        auto& zone = *Zone::add(next_.conf(), size);
        next_.reload(cycle_);
        return zone;
    }

    Cycle next_;
};

TEST_F(ZoneOfAnotherSize, HasTheKeyOfTheOldZone)
{
    auto& zone = reload(2 * Zone::min_size);
    EXPECT_EQ(zone.key().reveal(), zone_.key().reveal());
}

TEST_F(ZoneOfAnotherSize, HasItsRevocations)
{
    auto user = key(900'001);
    revoke_of(user, 1, at(1000));
    revoke_of("", 2, at(2000));
    revoke_unproven(3, "1234", at(3000));
    revoke_unproven(4, "", at(4000));
    auto& zone = reload(2 * Zone::min_size);
    zone.take_over();
    for (std::int64_t n = 1; n < 5; n++) {
        EXPECT_EQ(revoked_at(zone, key(n)), at(n * 1000));
    }
    EXPECT_EQ(revoked_at(zone, key(5)), TimeMs());
    for (std::size_t n = 10; n < 10 + Zone::max_records; n++) {
        auto text = key(n);
        zone.revoke({text, user, true, at(1000), noon + hour}, noon);
    }
    EXPECT_EQ(revoked_at(zone, key(1)), TimeMs())
        << "it counts for its subject";
    EXPECT_EQ(revoked_at(zone, user), at(1000));
    for (int i = 0; i < 9; i++) {
        zone.acquire(Purpose::login, id(i), noon + hour, noon + 2 * hour);
    }
    EXPECT_FALSE(zone.has_revocations()) << "they keep their expiry";
}

TEST_F(ZoneOfAnotherSize, StopsRevocationsInTheOldZone)
{
    auto& zone = reload(2 * Zone::min_size);
    EXPECT_TRUE(revoke(1)) << "the new configuration can still be refused";
    zone.take_over();
    EXPECT_FALSE(revoke(2));
    EXPECT_NE(revoked_at(1), TimeMs()) << "existing records stay";
    EXPECT_EQ(acquire(Purpose::login, 1), LockState::ours);
    EXPECT_NE(revoked_at(zone, key(1)), TimeMs());
    EXPECT_EQ(revoked_at(zone, key(2)), TimeMs());
}

class SmallerZone : public ZoneOfAnotherSize {
protected:
    SmallerZone() : ZoneOfAnotherSize(4 * Zone::min_size) {}
};

TEST_F(SmallerZone, RevokesAllSessionsUntilTheLastRecordLeftOut)
{
    for (std::size_t n = 0; n < 2000; n++) {
        EXPECT_TRUE(revoke_of("", n, at(1000 + n), noon + 1s + Seconds(n)));
    }
    auto& zone = reload(Zone::min_size);
    zone.take_over();
    auto all = revoked_at(zone, key(100'000));
    EXPECT_GT(all, at(1000));
    EXPECT_LT(all, at(1000 + 2000 - 1));
    EXPECT_EQ(revoked_at(zone, key(1999)), at(1000 + 1999)) << "it had room";
    EXPECT_EQ(revoked_at(zone, key(1)), all);
    EXPECT_TRUE(zone.has_revocations());

    auto left_out = Seconds((all - at(1000)).count());
    zone.acquire(Purpose::login, id(1), noon + left_out, noon + hour);
    EXPECT_EQ(revoked_at(zone, key(100'000)), all);
    zone.acquire(Purpose::login, id(2), noon + 1s + left_out, noon + hour);
    EXPECT_EQ(revoked_at(zone, key(100'000)), TimeMs())
        << "the last of them has expired";
}

TEST_F(SmallerZone, PassesTheWatermarkToTheNextZone)
{
    for (std::size_t n = 0; n < 2000; n++) {
        revoke_of("", n, at(1000 + n), noon + 1s + Seconds(n));
    }
    auto& zone = reload(Zone::min_size);
    zone.take_over();
    Cycle last;
    auto& larger = *Zone::add(last.conf(), 4 * Zone::min_size);
    last.reload(next_);
    larger.take_over();
    EXPECT_EQ(revoked_at(larger, key(100'000)), revoked_at(zone, key(100'000)));
}

TEST_F(SmallerZone, SetsNoWatermarkForUnprovenRevocations)
{
    for (std::size_t n = 0; n < 300; n++) {
        revoke_unproven(n, "a" + std::to_string(n));
    }
    auto& zone = reload(Zone::min_size);
    zone.take_over();
    EXPECT_EQ(revoked_at(zone, key(100'000)), TimeMs());
    EXPECT_NE(revoked_at(zone, key(299)), TimeMs());
}

}
}
