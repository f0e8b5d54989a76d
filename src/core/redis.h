// The door to hiredis: commands out and replies in, in the Redis protocol
// (RESP2). Bytes and values alone; the connection is somebody else's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct redisReader;

namespace oidc {

// A name and its arguments, of any bytes. Not to be empty.
using RedisCommand = std::vector<std::string>;

// All of them as they are sent, one behind the other.
std::string format_redis(std::span<const RedisCommand> commands);

struct RedisReply {
    enum class Kind { status, error, integer, text, nil, list };

    Kind kind = Kind::nil;
    std::string text; // of a status, an error or a text
    std::int64_t integer = 0;
    std::vector<RedisReply> list;

    bool operator==(const RedisReply&) const = default;
};

// Replies as their bytes come in, cut anywhere.
class RedisReader {
public:
    // Of all that is ever fed, in bytes.
    static constexpr std::size_t default_limit = 256 * 1024;

    static constexpr std::size_t max_elements = 64; // of a list
    static constexpr int max_lists = 7;             // one in another

    explicit RedisReader(std::size_t limit = default_limit);

    // False for what is no RESP2 or out of bounds, and from then on.
    bool feed(std::string_view bytes);

    // The next reply that has come in whole.
    std::optional<RedisReply> next();

    // True where no byte is left that next() has not given.
    bool is_empty() const { return ready_.empty() && unread_ == 0; }

private:
    struct Free {
        void operator()(redisReader* reader) const;
    };

    bool read();

    std::size_t room_;
    std::size_t unread_ = 0; // since the last reply that was whole
    bool is_broken_ = false;
    std::deque<RedisReply> ready_;
    std::unique_ptr<RedisReply> root_; // under way; its address stays
    std::unique_ptr<redisReader, Free> reader_;
};

}
