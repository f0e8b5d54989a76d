#include "core/redis.h"
#include "fuzz.h"

#include <algorithm>
#include <charconv>

namespace oidc::test {
namespace {

using Kind = RedisReply::Kind;

struct Outcome {
    std::vector<RedisReply> replies;
    bool is_refused = false;
    bool is_empty = false;

    bool operator==(const Outcome&) const = default;
};

Outcome received(std::string_view bytes, std::size_t limit, std::size_t piece)
{
    Outcome outcome;
    RedisReader reader(limit);
    while (!bytes.empty() && !outcome.is_refused) {
        // A copy at whose end any overread is detected.
        std::vector<char> copy(
            bytes.begin(), bytes.begin() + std::min(piece, bytes.size()));
        outcome.is_refused = !reader.feed({copy.data(), copy.size()});
        bytes.remove_prefix(copy.size());
    }
    while (auto reply = reader.next()) {
        outcome.replies.push_back(std::move(*reply));
    }
    outcome.is_empty = !outcome.is_refused && reader.is_empty();
    return outcome;
}

std::string written(const RedisReply& reply, int lists = 1)
{
    auto size = std::to_string(reply.text.size());
    switch (reply.kind) {
    case Kind::status:
        return "+" + reply.text + "\r\n";
    case Kind::error:
        return "-" + reply.text + "\r\n";
    case Kind::integer:
        return ":" + std::to_string(reply.integer) + "\r\n";
    case Kind::text:
        return "$" + size + "\r\n" + reply.text + "\r\n";
    case Kind::nil:
        return "$-1\r\n";
    case Kind::list:
        break;
    }
    demand(lists <= RedisReader::max_lists &&
            reply.list.size() <= RedisReader::max_elements,
        "bounded");
    auto bytes = "*" + std::to_string(reply.list.size()) + "\r\n";
    for (const auto& element : reply.list) {
        bytes += written(element, lists + 1);
    }
    return bytes;
}

std::size_t number(std::string_view text, std::size_t most)
{
    std::size_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return std::min(value, most);
}

}

// The limit, the piece size, and the replies. The pieces must not affect the
// result.
FUZZ(redis)
{
    auto limit = number(take_line(input), RedisReader::default_limit);
    auto piece = 1 + number(take_line(input), 1024);
    auto whole = received(input, limit, input.size());

    demand(input.size() <= limit || whole.is_refused, "within the limit");
    for (auto size : {std::size_t(1), piece}) {
        auto cut = received(input, limit, size);
        demand(input.size() <= limit ? cut == whole : cut.is_refused,
            "the same replies");
    }

    std::string bytes;
    for (const auto& reply : whole.replies) {
        bytes += written(reply);
    }
    auto again = received(bytes, bytes.size(), piece);
    demand(again.replies == whole.replies && again.is_empty,
        "written and read again");
}

}
