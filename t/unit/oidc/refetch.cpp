#include "oidc/refetch.h"

#include "support/play.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

constexpr Seconds day = 24 * 3600s;

// How long a document that is due is left alone after each failure.
std::vector<Seconds> waits(Schedule schedule, Time now, int count)
{
    std::vector<Seconds> waited;
    for (int i = 0; i < count; i++) {
        EXPECT_TRUE(schedule.due(now));
        schedule.fail(now);
        Seconds wait{};
        while (!schedule.due(now + wait)) {
            wait++;
        }
        waited.push_back(wait);
        now += wait;
    }
    return waited;
}

TEST(Schedule, OfAnUnknownDocumentIsDue)
{
    Schedule schedule;
    EXPECT_TRUE(schedule.due(noon));
    EXPECT_FALSE(schedule.usable(noon));
    EXPECT_FALSE(schedule.usable(Time()));
    EXPECT_EQ(schedule.usable_until(), Time());
}

TEST(Schedule, IsDueAgainWhenTheDocumentIsNotFresh)
{
    Schedule schedule;
    schedule.succeed(noon + 60s);
    EXPECT_FALSE(schedule.due(noon));
    EXPECT_FALSE(schedule.due(noon + 59s));
    EXPECT_TRUE(schedule.due(noon + 60s));
}

TEST(Schedule, LetsADocumentServeADayLonger)
{
    Schedule schedule;
    schedule.succeed(noon + 60s);
    EXPECT_EQ(schedule.usable_until(), noon + 60s + day);
    EXPECT_TRUE(schedule.usable(noon));
    EXPECT_TRUE(schedule.usable(noon + 60s));
    EXPECT_TRUE(schedule.usable(noon + 60s + day - 1s));
    EXPECT_FALSE(schedule.usable(noon + 60s + day));

    // failures neither shorten nor prolong that
    schedule.fail(noon + 100s);
    schedule.fail(noon + 200s);
    EXPECT_EQ(schedule.usable_until(), noon + 60s + day);
}

TEST(Schedule, BacksOffToFiveSecondsWhereNothingIsKnown)
{
    EXPECT_EQ(waits({}, noon, 8),
        (std::vector<Seconds>{0s, 1s, 2s, 4s, 5s, 5s, 5s, 5s}));
}

TEST(Schedule, BacksOffToAMinuteWhereSomethingIs)
{
    Schedule schedule;
    schedule.succeed(noon);
    EXPECT_EQ(waits(schedule, noon, 10),
        (std::vector<Seconds>{0s, 1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s, 60s}));
}

TEST(Schedule, BacksOffToFiveSecondsOnceNothingIsUsable)
{
    Schedule schedule;
    schedule.succeed(noon);
    for (int i = 0; i < 20; i++) {
        schedule.fail(noon + Seconds(i));
    }
    auto late = noon + day;
    EXPECT_EQ(waits(schedule, late, 3), (std::vector<Seconds>{5s, 5s, 5s}));
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
    EXPECT_EQ(waits(schedule, noon, 2), (std::vector<Seconds>{0s, 1s}));
}

TEST(Schedule, OfAProviderThatIsGoneForYearsStaysInBounds)
{
    Schedule schedule;
    for (int i = 0; i < 100'000; i++) {
        schedule.fail(noon);
    }
    EXPECT_FALSE(schedule.due(noon + 4s));
    EXPECT_TRUE(schedule.due(noon + 5s));
}

int renewals(Schedule& schedule, Time now)
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
    EXPECT_FALSE(schedule.take_renewal(Asker::known, noon + 14s));
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
    EXPECT_TRUE(schedule.take_renewal(Asker::anybody, noon + 15s));
}

TEST(Renewals, AreOneInFifteenSecondsThen)
{
    Schedule schedule;
    EXPECT_EQ(renewals(schedule, noon), 4);
    int count = 0;
    for (auto now = noon; now < noon + 1500s; now++) {
        count += schedule.take_renewal(Asker::known, now);
    }
    EXPECT_EQ(count, 99);
}

// They once were counted by the clock's own quarters of a minute.
TEST(Renewals, AreFourAcrossAQuarterOfTheMinute)
{
    Schedule schedule;
    auto last_second = std::chrono::floor<std::chrono::minutes>(noon) + 14s;
    EXPECT_EQ(renewals(schedule, last_second), 4);
    EXPECT_FALSE(schedule.take_renewal(Asker::known, last_second + 1s));
}

TEST(Renewals, AreSavedUpToFour)
{
    Schedule schedule;
    EXPECT_EQ(renewals(schedule, noon), 4);
    EXPECT_EQ(renewals(schedule, noon + 60s), 4);
    EXPECT_EQ(renewals(schedule, noon + 90s), 2);
    EXPECT_EQ(renewals(schedule, noon + day), 4);
    EXPECT_EQ(renewals(schedule, noon + day), 0);
}

TEST(Renewals, AreNoneWhenTheClockIsSetBack)
{
    Schedule schedule;
    EXPECT_EQ(renewals(schedule, noon), 4);
    EXPECT_EQ(renewals(schedule, noon - day), 0);
    EXPECT_EQ(renewals(schedule, noon - day + 60s), 4) << "a minute later";
}

TEST(Renewals, HaveNothingToDoWithFailures)
{
    Schedule schedule;
    schedule.fail(noon);
    schedule.fail(noon);
    EXPECT_FALSE(schedule.due(noon));
    EXPECT_EQ(renewals(schedule, noon), 4);
    schedule.succeed(noon + 60s);
    EXPECT_EQ(renewals(schedule, noon), 0);
}

}
}
