#include "oidc/ticket.h"

#include "core/fields.h"
#include "support/play.h"

#include <gtest/gtest.h>

#include <set>

namespace oidc::test {
namespace {

using namespace std::string_literals;

const std::vector<std::string> marks = {"by session", "by sub", "by sid"};

std::string letters(std::size_t size)
{
    return std::string(size, 'a');
}

TEST(Ticket, ComesBackFromItsFields)
{
    auto ticket = Ticket::make(marks, random_bytes);
    auto blob = ticket.seal("session", "for this", random_bytes);
    auto back = Ticket::read(ticket.fields());
    ASSERT_TRUE(back);
    EXPECT_EQ(back->key(), ticket.key());
    EXPECT_EQ(back->revocation_keys(), marks);
    EXPECT_EQ(back->open(blob, "for this"), "session");
    EXPECT_EQ(back->fields(), ticket.fields());
}

TEST(Ticket, IsNewEveryTime)
{
    std::set<std::string> keys;
    for (int i = 0; i < 20; i++) {
        keys.insert(Ticket::make(marks, random_bytes).key());
    }
    EXPECT_EQ(keys.size(), 20u);
}

// The content of the store is not enough to load a session.
TEST(Ticket, IsKnownToTheStoreByADigestOfItsId)
{
    auto ticket = Ticket::make({}, letters);
    EXPECT_EQ(ticket.key(),
        digest(Hash::sha256, bind_fields({"ticket", letters(16)}))
            .substr(0, 16));
    EXPECT_EQ(ticket.fields().find(ticket.key()), std::string::npos);
}

TEST(Ticket, SealsWhatTheStoreKeeps)
{
    auto ticket = Ticket::make(marks, random_bytes);
    auto blob = ticket.seal("user-1", "for this", random_bytes);
    EXPECT_EQ(blob.find("user-1"), std::string::npos);
    EXPECT_NE(ticket.seal("user-1", "for this", random_bytes), blob);

    EXPECT_EQ(ticket.open(blob, "for that"), std::nullopt);
    EXPECT_EQ(ticket.open("", "for this"), std::nullopt);
    EXPECT_EQ(ticket.open(blob + "x", "for this"), std::nullopt);
    for (std::size_t i = 0; i < blob.size(); i++) {
        auto tampered = blob;
        tampered[i] ^= 1;
        EXPECT_EQ(ticket.open(tampered, "for this"), std::nullopt) << i;
        EXPECT_EQ(ticket.open(blob.substr(0, i), "for this"), std::nullopt);
    }
}

std::string fields_of(std::size_t id, std::size_t secret, std::size_t marks)
{
    FieldWriter fields;
    fields.text(64, std::string(id, 'i'));
    fields.text(65, std::string(secret, 's'));
    for (std::size_t i = 0; i < marks; i++) {
        fields.text(66, "mark");
    }
    return fields.take();
}

TEST(Ticket, OpensOnlyItsOwnBlob)
{
    auto ticket = Ticket::make(marks, random_bytes);
    auto other = Ticket::make(marks, random_bytes);
    auto blob = ticket.seal("session", "for this", random_bytes);
    EXPECT_EQ(other.open(blob, "for this"), std::nullopt);

    // the same id, another secret
    auto forged = Ticket::read(fields_of(16, 32, 0));
    auto genuine = Ticket::make({}, [](std::size_t size) {
        return std::string(size, size == 16 ? 'i' : 't');
    });
    ASSERT_TRUE(forged);
    EXPECT_EQ(forged->key(), genuine.key());
    EXPECT_EQ(forged->open(genuine.seal("session", "for this", random_bytes),
                  "for this"),
        std::nullopt);
}

TEST(Ticket, HasAnIdASecretAndUpToThreeRevocationKeys)
{
    for (std::size_t marks : {0, 1, 2, 3}) {
        auto ticket = Ticket::read(fields_of(16, 32, marks));
        ASSERT_TRUE(ticket) << marks;
        EXPECT_EQ(ticket->revocation_keys().size(), marks);
    }
    EXPECT_FALSE(Ticket::read(fields_of(16, 32, 4)));
    for (std::size_t size : {0, 15, 17, 32}) {
        EXPECT_FALSE(Ticket::read(fields_of(size, 32, 1))) << size;
    }
    for (std::size_t size : {0, 16, 31, 33}) {
        EXPECT_FALSE(Ticket::read(fields_of(16, size, 1))) << size;
    }
}

TEST(Ticket, IsNotReadFromOtherBytes)
{
    auto whole = Ticket::make(marks, random_bytes).fields();
    for (std::size_t i = 0; i < whole.size(); i++) {
        // the last revocation keys may be missing, as whole fields
        auto cut = Ticket::read(whole.substr(0, i));
        EXPECT_TRUE(!cut || cut->revocation_keys().size() < marks.size()) << i;
    }
    for (const auto& broken :
        {""s, "\1"s, "ticket"s, "\2"s + whole.substr(1), whole + "x"}) {
        EXPECT_FALSE(Ticket::read(broken));
    }
    FieldWriter session;
    session.text(1, letters(16));
    session.number(3, to_seconds(noon));
    EXPECT_FALSE(Ticket::read(session.take()));
}

TEST(Ticket, HasOnlyItsOwnFields)
{
    ASSERT_TRUE(Ticket::read(fields_of(16, 32, 1)));
    for (auto tag : {0, 1, 3, 63, 67, 255}) {
        FieldWriter more;
        more.text(static_cast<unsigned char>(tag), "more");
        EXPECT_FALSE(
            Ticket::read(fields_of(16, 32, 1) + more.take().substr(1)));
    }
}

}
}
