#include "core/redis.h"

#include <hiredis/hiredis.h>

#include <new>
#include <utility>

namespace oidc {
namespace {

struct FreeCommand {
    void operator()(char* command) const { redisFreeCommand(command); }
};

std::string format(const RedisCommand& command)
{
    std::vector<const char*> words;
    std::vector<std::size_t> sizes;
    for (const auto& word : command) {
        words.push_back(word.data());
        sizes.push_back(word.size());
    }

    char* bytes = nullptr;
    auto size = redisFormatCommandArgv(
        &bytes, static_cast<int>(words.size()), words.data(), sizes.data());
    std::unique_ptr<char, FreeCommand> owner(bytes);
    if (size < 0) {
        throw std::bad_alloc();
    }
    return {bytes, static_cast<std::size_t>(size)};
}

// hiredis builds RedisReply values through these callbacks, list elements in
// place. hiredis is C: no exception may escape, and null stops it.
template <class Fill>
void* build(const redisReadTask* task, Fill fill) noexcept
{
    try {
        auto list = task->parent;
        auto reply = list == nullptr ?
            static_cast<RedisReply*>(task->privdata) :
            &static_cast<RedisReply*>(list->obj)->list.at(task->idx);
        return fill(*reply) ? reply : nullptr;
    } catch (const std::exception&) {
        return nullptr;
    }
}

// hiredis does not check the line end after a text.
void* build_text(const redisReadTask* task, char* bytes, std::size_t size)
{
    return build(task, [&](RedisReply& reply) {
        switch (task->type) {
        case REDIS_REPLY_STATUS:
            reply.kind = RedisReply::Kind::status;
            break;
        case REDIS_REPLY_ERROR:
            reply.kind = RedisReply::Kind::error;
            break;
        case REDIS_REPLY_STRING:
            reply.kind = RedisReply::Kind::text;
            break;
        default:
            return false;
        }
        reply.text.assign(bytes, size);
        return bytes[size] == '\r' && bytes[size + 1] == '\n';
    });
}

void* build_integer(const redisReadTask* task, long long number)
{
    return build(task, [&](RedisReply& reply) {
        reply.kind = RedisReply::Kind::integer;
        reply.integer = number;
        return true;
    });
}

// A nil of RESP3 is refused.
void* build_nil(const redisReadTask* task)
{
    return build(task, [&](RedisReply& reply) {
        reply.kind = RedisReply::Kind::nil;
        return task->type == REDIS_REPLY_STRING ||
            task->type == REDIS_REPLY_ARRAY;
    });
}

int depth(const redisReadTask* task)
{
    int lists = 0;
    for (; task != nullptr; task = task->parent) {
        lists++;
    }
    return lists;
}

// `size` is an int before hiredis 1.0 and a size_t since.
template <class Size>
void* build_list(const redisReadTask* task, Size size)
{
    return build(task, [&](RedisReply& reply) {
        if (task->type != REDIS_REPLY_ARRAY ||
            static_cast<std::size_t>(size) > RedisReader::max_elements ||
            depth(task) > RedisReader::max_lists) {
            return false;
        }
        reply.kind = RedisReply::Kind::list;
        reply.list.resize(static_cast<std::size_t>(size));
        return true;
    });
}

void* refuse(const redisReadTask*, auto...)
{
    return nullptr;
}

// hiredis 1.0 parses types of RESP3 and needs a function for each of them.
template <class Functions>
Functions make_functions()
{
    Functions functions{};
    functions.createString = build_text;
    functions.createArray = build_list;
    functions.createInteger = build_integer;
    functions.createNil = build_nil;
    functions.freeObject = [](void*) {};
    if constexpr (requires { functions.createDouble; }) {
        functions.createDouble = refuse;
        functions.createBool = refuse;
    }
    return functions;
}

redisReader* make_reader(RedisReply* root)
{
    static auto functions = make_functions<redisReplyObjectFunctions>();

    auto reader = redisReaderCreateWithFunctions(&functions);
    if (reader == nullptr) {
        throw std::bad_alloc();
    }
    reader->privdata = root;
    return reader;
}

}

std::string format_redis(std::span<const RedisCommand> commands)
{
    std::string bytes;
    for (const auto& command : commands) {
        bytes += format(command);
    }
    return bytes;
}

RedisReader::RedisReader(std::size_t limit) :
    room_(limit), root_(std::make_unique<RedisReply>()),
    reader_(make_reader(root_.get()))
{
}

void RedisReader::Free::operator()(redisReader* reader) const
{
    redisReaderFree(reader);
}

bool RedisReader::feed(std::string_view bytes)
{
    if (is_broken_ || bytes.size() > room_) {
        is_broken_ = true;
        return false;
    }
    room_ -= bytes.size();
    unread_ += bytes.size();
    is_broken_ = redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) !=
            REDIS_OK ||
        !read();
    return !is_broken_;
}

// False if the bytes are not RESP2.
bool RedisReader::read()
{
    for (;;) {
        void* reply = nullptr;
        if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK) {
            return false;
        }
        if (reply == nullptr) {
            return true;
        }
        ready_.push_back(std::exchange(*root_, {}));
        unread_ = reader_->len - reader_->pos;
    }
}

std::optional<RedisReply> RedisReader::next()
{
    if (ready_.empty()) {
        return std::nullopt;
    }
    auto reply = std::move(ready_.front());
    ready_.pop_front();
    return reply;
}

}
