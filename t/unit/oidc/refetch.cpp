#include "oidc/refetch.h"

#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

constexpr std::int64_t day = 24 * 3600;

// How long a document that is due is left alone after each failure.
std::vector<std::int64_t> waits(Schedule schedule, std::int64_t now, int count)
{
    std::vector<std::int64_t> seconds;
    for (int i = 0; i < count; i++) {
        EXPECT_TRUE(schedule.due(now));
        schedule.fail(now);
        std::int64_t wait = 0;
        while (!schedule.due(now + wait)) {
            wait++;
        }
        seconds.push_back(wait);
        now += wait;
    }
    return seconds;
}

TEST(Schedule, OfAnUnknownDocumentIsDue)
{
    Schedule schedule;
    EXPECT_TRUE(schedule.due(noon));
    EXPECT_FALSE(schedule.usable(noon));
    EXPECT_FALSE(schedule.usable(0));
    EXPECT_EQ(schedule.usable_until(), 0);
}

TEST(Schedule, IsDueAgainWhenTheDocumentIsNotFresh)
{
    Schedule schedule;
    schedule.succeed(noon + 60);
    EXPECT_FALSE(schedule.due(noon));
    EXPECT_FALSE(schedule.due(noon + 59));
    EXPECT_TRUE(schedule.due(noon + 60));
}

TEST(Schedule, LetsADocumentServeADayLonger)
{
    Schedule schedule;
    schedule.succeed(noon + 60);
    EXPECT_EQ(schedule.usable_until(), noon + 60 + day);
    EXPECT_TRUE(schedule.usable(noon));
    EXPECT_TRUE(schedule.usable(noon + 60));
    EXPECT_TRUE(schedule.usable(noon + 60 + day - 1));
    EXPECT_FALSE(schedule.usable(noon + 60 + day));

    // failures neither shorten nor prolong that
    schedule.fail(noon + 100);
    schedule.fail(noon + 200);
    EXPECT_EQ(schedule.usable_until(), noon + 60 + day);
}

TEST(Schedule, BacksOffToFiveSecondsWhereNothingIsKnown)
{
    EXPECT_EQ(waits({}, noon, 8),
        (std::vector<std::int64_t>{0, 1, 2, 4, 5, 5, 5, 5}));
}

TEST(Schedule, BacksOffToAMinuteWhereSomethingIs)
{
    Schedule schedule;
    schedule.succeed(noon);
    EXPECT_EQ(waits(schedule, noon, 10),
        (std::vector<std::int64_t>{0, 1, 2, 4, 8, 16, 32, 60, 60, 60}));
}

TEST(Schedule, BacksOffToFiveSecondsOnceNothingIsUsable)
{
    Schedule schedule;
    schedule.succeed(noon);
    for (int i = 0; i < 20; i++) {
        schedule.fail(noon + i);
    }
    auto late = noon + day;
    EXPECT_EQ(waits(schedule, late, 3), (std::vector<std::int64_t>{5, 5, 5}));
}

TEST(Schedule, CountsNoFailureOnceItSucceeds)
{
    Schedule schedule;
    for (int i = 0; i < 10; i++) {
        schedule.fail(noon);
    }
    EXPECT_FALSE(schedule.due(noon));
    schedule.succeed(noon);
    EXPECT_TRUE(schedule.due(noon));
    EXPECT_EQ(waits(schedule, noon, 2), (std::vector<std::int64_t>{0, 1}));
}

TEST(Schedule, OfAProviderThatIsGoneForYearsStaysInBounds)
{
    Schedule schedule;
    for (int i = 0; i < 100'000; i++) {
        schedule.fail(noon);
    }
    EXPECT_FALSE(schedule.due(noon + 4));
    EXPECT_TRUE(schedule.due(noon + 5));
}

int renewals(Schedule& schedule, std::int64_t now)
{
    int count = 0;
    while (count < 100 && schedule.take_renewal(Asker::known, now)) {
        count++;
    }
    return count;
}

TEST(Renewals, AreFourAtOnce)
{
    Schedule schedule;
    EXPECT_EQ(renewals(schedule, noon), 4);
    EXPECT_FALSE(schedule.take_renewal(Asker::known, noon));
    EXPECT_FALSE(schedule.take_renewal(Asker::known, noon + 14));
}

// Forged logout tokens do not keep a login from the keys of a rotation.
TEST(Renewals, AreApartForWhatAnybodyAsks)
{
    Schedule schedule;
    for (int i = 0; i < 4; i++) {
        EXPECT_TRUE(schedule.take_renewal(Asker::anybody, noon));
    }
    EXPECT_FALSE(schedule.take_renewal(Asker::anybody, noon));
    EXPECT_EQ(renewals(schedule, noon), 4);
    EXPECT_TRUE(schedule.take_renewal(Asker::anybody, noon + 15));
}

TEST(Renewals, AreOneInFifteenSecondsThen)
{
    Schedule schedule;
    EXPECT_EQ(renewals(schedule, noon), 4);
    int count = 0;
    for (auto now = noon; now < noon + 1500; now++) {
        count += schedule.take_renewal(Asker::known, now);
    }
    EXPECT_EQ(count, 99);
}

// They once were counted by the clock's own quarters of a minute.
TEST(Renewals, AreFourAcrossAQuarterOfTheMinute)
{
    Schedule schedule;
    auto last_second = noon - noon % 15 + 14;
    EXPECT_EQ(renewals(schedule, last_second), 4);
    EXPECT_FALSE(schedule.take_renewal(Asker::known, last_second + 1));
}

TEST(Renewals, AreSavedUpToFour)
{
    Schedule schedule;
    EXPECT_EQ(renewals(schedule, noon), 4);
    EXPECT_EQ(renewals(schedule, noon + 60), 4);
    EXPECT_EQ(renewals(schedule, noon + 90), 2);
    EXPECT_EQ(renewals(schedule, noon + day), 4);
    EXPECT_EQ(renewals(schedule, noon + day), 0);
}

TEST(Renewals, AreNoneWhenTheClockIsSetBack)
{
    Schedule schedule;
    EXPECT_EQ(renewals(schedule, noon), 4);
    EXPECT_EQ(renewals(schedule, noon - day), 0);
    EXPECT_EQ(renewals(schedule, noon - day + 60), 4) << "a minute later";
}

TEST(Renewals, HaveNothingToDoWithFailures)
{
    Schedule schedule;
    schedule.fail(noon);
    schedule.fail(noon);
    EXPECT_FALSE(schedule.due(noon));
    EXPECT_EQ(renewals(schedule, noon), 4);
    schedule.succeed(noon + 60);
    EXPECT_EQ(renewals(schedule, noon), 0);
}

}
}
