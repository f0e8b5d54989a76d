#include "core/fields.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace oidc::test {
namespace {

using namespace std::string_literals;

std::string written()
{
    FieldWriter fields;
    fields.text(1, "text");
    fields.text(255, "");
    fields.number(3, -1);
    fields.text(1, "\0\xff"s);
    return fields.take();
}

TEST(Fields, ReadBackInOrder)
{
    auto bytes = written();
    FieldReader fields(bytes);

    auto first = fields.next();
    ASSERT_TRUE(first);
    EXPECT_EQ(first->tag, 1);
    EXPECT_EQ(first->bytes, "text");
    auto second = fields.next();
    EXPECT_EQ(second->tag, 255);
    EXPECT_EQ(second->bytes, "");
    EXPECT_EQ(fields.next()->number(), -1);
    EXPECT_FALSE(fields.complete());
    EXPECT_EQ(fields.next()->bytes, "\0\xff"s);
    EXPECT_FALSE(fields.next());
    EXPECT_TRUE(fields.complete());
}

TEST(Fields, AreWrittenAsDocumented)
{
    FieldWriter fields;
    fields.text(7, std::string(258, 'a'));
    EXPECT_EQ(fields.take(), "\x01\x07\0\x01\x02"s + std::string(258, 'a'));
}

TEST(Fields, HoldNumbers)
{
    using Limits = std::numeric_limits<std::int64_t>;
    for (std::int64_t number :
        {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1},
            std::int64_t{1} << 40, Limits::max(), Limits::min()}) {
        FieldWriter fields;
        fields.number(1, number);
        auto bytes = fields.take();
        EXPECT_EQ(FieldReader(bytes).next()->number(), number);
    }
}

TEST(Fields, OfAnotherSizeAreNoNumber)
{
    for (std::size_t size : {0, 1, 7, 9, 16}) {
        FieldWriter fields;
        fields.text(1, std::string(size, 'x'));
        auto bytes = fields.take();
        EXPECT_EQ(FieldReader(bytes).next()->number(), 0);
    }
}

// Reads to the end and expects it within 100 fields.
bool is_complete(std::string_view bytes)
{
    FieldReader fields(bytes);
    for (int i = 0; fields.next(); i++) {
        EXPECT_LT(i, 100);
    }
    EXPECT_FALSE(fields.next());
    return fields.complete();
}

TEST(Fields, AreIncompleteWhenCut)
{
    auto bytes = written();
    std::vector<std::size_t> whole;
    for (std::size_t size = 0; size <= bytes.size(); size++) {
        if (is_complete(std::string_view(bytes).substr(0, size))) {
            whole.push_back(size);
        }
    }
    // after the version and after each field only
    EXPECT_EQ(whole, (std::vector<std::size_t>{1, 9, 13, 25, 31}));
}

TEST(Fields, OfAnotherVersionAreNotRead)
{
    auto bytes = written();
    for (char version : {'\0', '\2', '\xff'}) {
        bytes.front() = version;
        EXPECT_FALSE(FieldReader(bytes).next());
        EXPECT_FALSE(is_complete(bytes));
    }
    EXPECT_FALSE(is_complete(""));
}

TEST(Fields, NeverReadBeyondTheirEnd)
{
    for (const auto& bytes :
        {"\x01\x01\xff\xff\xff"s, "\x01\x01\0\0\x01"s, "\x01\x01\0\0\x02z"s,
            "\x01\x01"s, "\x01\x01\0\0"s, "\x01\x01\x80\0\0z"s}) {
        EXPECT_FALSE(is_complete(bytes));
    }
}

}
}
