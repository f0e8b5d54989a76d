#include "core/redis.h"

#include <gtest/gtest.h>

namespace oidc::test {
namespace {

using namespace std::string_literals;
using Kind = RedisReply::Kind;

RedisReply text(std::string text)
{
    return {Kind::text, std::move(text), 0, {}};
}

RedisReply number(std::int64_t number)
{
    return {Kind::integer, "", number, {}};
}

RedisReply list(std::vector<RedisReply> list)
{
    return {Kind::list, "", 0, std::move(list)};
}

// The result of all bytes: the replies, and whether any were refused.
struct Outcome {
    std::vector<RedisReply> replies;
    bool is_refused = false;
    bool is_empty = false;
};

Outcome read(std::string_view bytes, std::size_t piece = 1 << 20,
    std::size_t limit = RedisReader::default_limit)
{
    Outcome outcome;
    RedisReader reader(limit);
    while (!bytes.empty() && !outcome.is_refused) {
        outcome.is_refused = !reader.feed(bytes.substr(0, piece));
        bytes.remove_prefix(std::min(piece, bytes.size()));
    }
    while (auto reply = reader.next()) {
        outcome.replies.push_back(std::move(*reply));
    }
    outcome.is_empty = reader.is_empty();
    return outcome;
}

RedisReply only(std::string_view bytes)
{
    auto outcome = read(bytes);
    EXPECT_FALSE(outcome.is_refused) << bytes;
    EXPECT_TRUE(outcome.is_empty) << bytes;
    EXPECT_EQ(outcome.replies.size(), 1u) << bytes;
    return outcome.replies.empty() ? RedisReply{} : outcome.replies[0];
}

TEST(RedisCommand, IsWrittenAsAListOfTexts)
{
    RedisCommand commands[] = {{"GET", "key"}};
    EXPECT_EQ(format_redis(commands), "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
}

TEST(RedisCommand, MayHoldAnyBytes)
{
    RedisCommand commands[] = {{"SET", "\0\r\n"s, "", "\xff"}};
    EXPECT_EQ(format_redis(commands),
        "*4\r\n$3\r\nSET\r\n$3\r\n\0\r\n\r\n$0\r\n\r\n$1\r\n\xff\r\n"s);
}

TEST(RedisCommand, FollowsTheOneBefore)
{
    RedisCommand commands[] = {{"A"}, {"B"}};
    EXPECT_EQ(format_redis(commands), "*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n");
    EXPECT_EQ(format_redis({}), "");
}

TEST(RedisReader, KnowsEveryKindOfReply)
{
    EXPECT_EQ(only("+OK\r\n"), (RedisReply{Kind::status, "OK", 0, {}}));
    EXPECT_EQ(only("-ERR no\r\n"), (RedisReply{Kind::error, "ERR no", 0, {}}));
    EXPECT_EQ(only(":42\r\n"), number(42));
    EXPECT_EQ(only("$5\r\nhello\r\n"), text("hello"));
    EXPECT_EQ(only("$0\r\n\r\n"), text(""));
    EXPECT_EQ(only("$-1\r\n"), RedisReply{});
    EXPECT_EQ(only("*-1\r\n"), RedisReply{});
    EXPECT_EQ(only("*0\r\n"), list({}));
    EXPECT_EQ(only("*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n"),
        list({text("a"), list({number(1), {}})}));
}

TEST(RedisReader, TakesAnyBytesInAText)
{
    EXPECT_EQ(only("$6\r\n\0\r\n$\xff\n\r\n"s), text("\0\r\n$\xff\n"s));
}

TEST(RedisReader, TakesTheWholeRangeOfIntegers)
{
    EXPECT_EQ(only(":9223372036854775807\r\n"), number(INT64_MAX));
    EXPECT_EQ(only(":-9223372036854775808\r\n"), number(INT64_MIN));
    EXPECT_TRUE(read(":9223372036854775808\r\n").is_refused);
}

TEST(RedisReader, GivesRepliesInTheirOrder)
{
    auto outcome = read("+OK\r\n:1\r\n$1\r\na\r\n");
    ASSERT_EQ(outcome.replies.size(), 3u);
    EXPECT_EQ(outcome.replies[1], number(1));
    EXPECT_EQ(outcome.replies[2], text("a"));
}

TEST(RedisReader, CaresNotHowItsBytesAreCut)
{
    auto bytes = "+OK\r\n*2\r\n$4\r\na\r\nb\r\n*1\r\n:-7\r\n-ERR\r\n$-1\r\n" +
        ("$3000\r\n" + std::string(3000, 'x') + "\r\n");
    auto whole = read(bytes);
    ASSERT_EQ(whole.replies.size(), 5u);
    for (std::size_t piece : {1, 2, 3, 7, 1024}) {
        auto cut = read(bytes, piece);
        EXPECT_EQ(cut.replies, whole.replies) << piece;
        EXPECT_TRUE(cut.is_empty) << piece;
    }
}

// Whatever the result, the connection must not serve another command.
TEST(RedisReader, IsEmptyOnlyBetweenReplies)
{
    EXPECT_TRUE(RedisReader().is_empty());
    for (auto part : {"+", "+O", "+OK\r", "$", "$5\r\n", "$5\r\nhello", "*2",
             "*2\r\n", "*2\r\n:1\r\n", "*1\r\n*2\r\n:1\r\n"}) {
        EXPECT_FALSE(read(part).is_empty) << part;
        EXPECT_FALSE(read("+OK\r\n"s + part).is_empty) << part;
        EXPECT_FALSE(read("+OK\r\n"s + part, 1).is_empty) << part;
    }
    RedisReader reader;
    EXPECT_TRUE(reader.feed("+OK\r\n"));
    EXPECT_FALSE(reader.is_empty());
    EXPECT_TRUE(reader.next());
    EXPECT_TRUE(reader.is_empty());
}

TEST(RedisReader, RefusesWhatIsNoReply)
{
    for (auto bytes : {"HTTP/1.1 400 Bad Request\r\n", "\r\n", "OK\r\n", " +\r",
             ":\r\n", ":1x\r\n", ": 1\r\n", ":+1\r\n", ":01\r\n", ":1.5\r\n",
             "$x\r\n", "$-2\r\n", "$\r\n", "*-2\r\n", "*x\r\n", "*1\r\nx",
             "$1\r\naXX", "$1\r\na\rX"}) {
        EXPECT_TRUE(read(bytes).is_refused) << bytes;
    }
}

// No client here sends HELLO 3.
TEST(RedisReader, RefusesTypesOfResp3)
{
    for (auto bytes :
        {"_\r\n", ",1.5\r\n", "#t\r\n", "!5\r\nERR x\r\n", "=7\r\ntxt:abc\r\n",
            "(12\r\n", "%1\r\n+a\r\n:1\r\n", "~1\r\n:1\r\n", ">1\r\n:1\r\n",
            "|1\r\n+a\r\n:1\r\n:2\r\n", "*1\r\n_\r\n"}) {
        EXPECT_TRUE(read(bytes).is_refused) << bytes;
    }
}

TEST(RedisReader, RefusesEverythingAfterARefusal)
{
    RedisReader reader;
    EXPECT_TRUE(reader.feed("+OK\r\n"));
    EXPECT_FALSE(reader.feed("x"));
    EXPECT_FALSE(reader.feed("+OK\r\n"));
    EXPECT_TRUE(reader.next());
    EXPECT_FALSE(reader.next());
}

TEST(RedisReader, TakesSixtyFourElements)
{
    auto of = [](int size) {
        auto bytes = "*" + std::to_string(size) + "\r\n";
        for (int i = 0; i < size; i++) {
            bytes += ":1\r\n";
        }
        return bytes;
    };
    EXPECT_EQ(only(of(64)).list.size(), 64u);
    EXPECT_TRUE(read(of(65)).is_refused);
    EXPECT_TRUE(read("*1000000000\r\n").is_refused);
    EXPECT_TRUE(read("*9223372036854775807\r\n").is_refused);
}

TEST(RedisReader, TakesSevenListsInOneAnother)
{
    auto nested = [](int lists) {
        std::string bytes;
        for (int i = 0; i < lists; i++) {
            bytes += "*1\r\n";
        }
        return bytes + ":1\r\n";
    };
    auto reply = only(nested(7));
    for (int i = 0; i < 7; i++) {
        ASSERT_EQ(reply.list.size(), 1u);
        reply = RedisReply(reply.list[0]);
    }
    EXPECT_EQ(reply, number(1));
    EXPECT_TRUE(read(nested(8)).is_refused);
    EXPECT_TRUE(read(nested(10'000)).is_refused);
}

TEST(RedisReader, HasALimitForAllItIsFed)
{
    EXPECT_FALSE(read("+OK\r\n+OK\r\n", 5, 10).is_refused);
    EXPECT_TRUE(read("+OK\r\n+OK\r\n", 5, 9).is_refused);
    EXPECT_TRUE(read("+OK\r\n+OK\r\n", 10, 9).is_refused);

    auto of = [](std::size_t size) {
        return "$" + std::to_string(size) + "\r\n" + std::string(size, 'x') +
            "\r\n";
    };
    EXPECT_EQ(only(of(262'133)).text.size(), 262'133u);
    EXPECT_TRUE(read(of(262'134)).is_refused);
}

TEST(RedisReader, MayBeMoved)
{
    RedisReader first;
    EXPECT_TRUE(first.feed("*2\r\n:1\r\n"));
    auto second = std::move(first);
    EXPECT_TRUE(second.feed(":2\r\n"));
    EXPECT_EQ(second.next(), list({number(1), number(2)}));
}

}
}
