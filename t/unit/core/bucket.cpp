#include "core/bucket.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

constexpr std::int64_t second = 1'000'000;
constexpr std::int64_t start = 1'700'000'000 * second;
constexpr Rate ten_a_minute{10, 60 * second};

int taken(Bucket& bucket, Rate rate, std::int64_t now)
{
    int count = 0;
    while (count < 1'000'000 && bucket.take(rate, now)) {
        count++;
    }
    return count;
}

TEST(Bucket, LetsSoManyThroughAtOnce)
{
    for (auto count : {1, 2, 3, 7, 10, 200, 1000}) {
        Bucket bucket;
        EXPECT_EQ(taken(bucket, {count, 60 * second}, start), count);
        EXPECT_FALSE(bucket.take({count, 60 * second}, start));
    }
}

TEST(Bucket, FillsUpWithinItsPeriod)
{
    Bucket bucket;
    taken(bucket, ten_a_minute, start);
    EXPECT_FALSE(bucket.take(ten_a_minute, start + 6 * second - 1));
    EXPECT_TRUE(bucket.take(ten_a_minute, start + 6 * second));
    EXPECT_FALSE(bucket.take(ten_a_minute, start + 6 * second));
    EXPECT_EQ(taken(bucket, ten_a_minute, start + 36 * second), 5);
    EXPECT_EQ(taken(bucket, ten_a_minute, start + 96 * second), 10);
}

TEST(Bucket, HoldsNoMoreThanThat)
{
    Bucket bucket;
    EXPECT_TRUE(bucket.take(ten_a_minute, start));
    EXPECT_EQ(taken(bucket, ten_a_minute, start + 3600 * second), 10);
    for (int i = 0; i < 100; i++) {
        bucket.refund(ten_a_minute.cost());
    }
    EXPECT_EQ(taken(bucket, ten_a_minute, start + 3600 * second), 10);
}

TEST(Bucket, TakesBackWhatWasTaken)
{
    Bucket bucket;
    taken(bucket, ten_a_minute, start);
    bucket.refund(ten_a_minute.cost());
    bucket.refund(ten_a_minute.cost());
    EXPECT_EQ(taken(bucket, ten_a_minute, start), 2);
}

TEST(Bucket, SurvivesAClockThatIsSetBack)
{
    Bucket bucket;
    taken(bucket, ten_a_minute, start);
    auto before = start - 365 * 86400 * second;
    EXPECT_FALSE(bucket.take(ten_a_minute, before));
    EXPECT_TRUE(bucket.take(ten_a_minute, before + 60 * second));
}

// What a worker that was killed has left may be any bytes.
TEST(Bucket, IsBoundedWhateverItHolds)
{
    Bucket bucket;
    for (int i = 0; i < 1000; i++) {
        bucket.take({1, 1}, start);
        bucket.refund(60 * second);
    }
    EXPECT_EQ(taken(bucket, ten_a_minute, start), 10);
}

}
}
