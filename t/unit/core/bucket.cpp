#include "core/bucket.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

constexpr TimeUs start = from_seconds(1'700'000'000);
constexpr Rate ten_a_minute{10, 60s};

int taken(Bucket& bucket, Rate rate, TimeUs now)
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
        EXPECT_EQ(taken(bucket, {count, 60s}, start), count);
        EXPECT_FALSE(bucket.take({count, 60s}, start));
    }
}

TEST(Bucket, FillsUpWithinItsPeriod)
{
    Bucket bucket;
    taken(bucket, ten_a_minute, start);
    EXPECT_FALSE(bucket.take(ten_a_minute, start + 6s - 1us));
    EXPECT_TRUE(bucket.take(ten_a_minute, start + 6s));
    EXPECT_FALSE(bucket.take(ten_a_minute, start + 6s));
    EXPECT_EQ(taken(bucket, ten_a_minute, start + 36s), 5);
    EXPECT_EQ(taken(bucket, ten_a_minute, start + 96s), 10);
}

TEST(Bucket, HoldsNoMoreThanThat)
{
    Bucket bucket;
    EXPECT_TRUE(bucket.take(ten_a_minute, start));
    EXPECT_EQ(taken(bucket, ten_a_minute, start + 3600s), 10);
    for (int i = 0; i < 100; i++) {
        bucket.refund(ten_a_minute.cost());
    }
    EXPECT_EQ(taken(bucket, ten_a_minute, start + 3600s), 10);
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
    auto before = start - 365 * 24h;
    EXPECT_FALSE(bucket.take(ten_a_minute, before));
    EXPECT_TRUE(bucket.take(ten_a_minute, before + 60s));
}

// A killed worker may leave any bytes in shared memory.
TEST(Bucket, IsBoundedWhateverItHolds)
{
    Bucket bucket;
    for (int i = 0; i < 1000; i++) {
        bucket.take({1, 1us}, start);
        bucket.refund(60s);
    }
    EXPECT_EQ(taken(bucket, ten_a_minute, start), 10);
}

}
}
