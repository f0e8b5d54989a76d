// The wrapper of hiredis: formats commands and parses replies of the Redis
// protocol (RESP2). It has no connection: it handles bytes and values only.
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

// A name and its arguments, of any bytes. Must not be empty.
using RedisCommand = std::vector<std::string>;

// The commands in wire format, concatenated.
std::string format_redis(std::span<const RedisCommand> commands);

struct RedisReply {
    enum class Kind { status, error, integer, text, nil, list };

    Kind kind = Kind::nil;
    std::string text; // of a status, an error or a text
    std::int64_t integer = 0;
    std::vector<RedisReply> list;

    bool operator==(const RedisReply&) const = default;
};

// Parses replies from bytes that arrive in pieces of any size.
class RedisReader {
public:
    // Of all bytes ever fed.
    static constexpr std::size_t default_limit = 256 * 1024;

    static constexpr std::size_t max_elements = 64; // of a list
    static constexpr int max_lists = 7;             // nesting depth

    explicit RedisReader(std::size_t limit = default_limit);

    // False if the bytes are not RESP2 or exceed a limit, and from then on.
    bool feed(std::string_view bytes);

    // The next complete reply.
    std::optional<RedisReply> next();

    // True if next() has returned everything that was fed.
    bool is_empty() const { return ready_.empty() && unread_ == 0; }

private:
    struct Free {
        void operator()(redisReader* reader) const;
    };

    bool read();

    std::size_t room_;
    std::size_t unread_ = 0; // since the last complete reply
    bool is_broken_ = false;
    std::deque<RedisReply> ready_;
    std::unique_ptr<RedisReply> root_; // in progress; never moved
    std::unique_ptr<redisReader, Free> reader_;
};

}
