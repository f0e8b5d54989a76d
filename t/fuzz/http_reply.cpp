#include "fuzz.h"
#include "ngx/http_response.h"

#include <algorithm>
#include <charconv>
#include <memory>

namespace oidc::test {
namespace {

// The parts of a request that nginx's parsers use.
struct Parsed {
    Parsed()
    {
        connection.log = &log;
        request.connection = &connection;
    }

    ngx_log_t log{};
    ngx_connection_t connection{};
    ngx_http_request_t request{};
};

// The result for a response.
struct Outcome {
    const char* failure;
    bool is_complete;
    HttpResponse response;
};

// A copy behind which a sanitizer notices every read.
std::unique_ptr<char[]> exactly(std::string_view bytes)
{
    auto copy = std::make_unique<char[]>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), copy.get());
    return copy;
}

// As nginx does: the head grows in one buffer, bytes behind it begin the body,
// and the rest of the body arrives in pieces.
class Receiver {
public:
    Receiver(std::size_t limit, std::size_t piece) :
        reader_(limit), piece_(piece)
    {
    }

    Outcome receive(std::string_view bytes)
    {
        auto head = exactly(bytes);
        ngx_buf_t buffer{};
        buffer.pos = buffer.last = reinterpret_cast<u_char*>(head.get());
        auto end = buffer.last + bytes.size();

        ngx_int_t rc = NGX_AGAIN;
        while (rc == NGX_AGAIN && buffer.last != end) {
            buffer.last += std::min<std::size_t>(piece_, end - buffer.last);
            rc = reader_.read_head(&parsed_.request, &buffer);
        }
        demand((reader_.failure() != nullptr) ==
                (rc == NGX_HTTP_UPSTREAM_INVALID_HEADER),
            "a bad head and a failure come together");
        if (rc == NGX_OK) {
            bytes.remove_prefix(
                bytes.size() - static_cast<std::size_t>(end - buffer.pos));
            receive_body(bytes, buffer.last - buffer.pos);
        }
        auto is_complete =
            rc == NGX_OK && !reader_.failure() && reader_.is_complete();
        return {reader_.failure(), is_complete, reader_.take()};
    }

private:
    void receive_body(std::string_view bytes, std::size_t first)
    {
        auto size = first;
        while (!bytes.empty()) {
            auto piece = bytes.substr(0, size);
            bytes.remove_prefix(piece.size());
            size = piece_;
            if (!piece.empty() && !receive_piece(piece)) {
                return;
            }
        }
    }

    bool receive_piece(std::string_view piece)
    {
        auto copy = exactly(piece);
        auto rc =
            reader_.read_body(&parsed_.request, {copy.get(), piece.size()});
        demand((reader_.failure() != nullptr) == (rc == NGX_ERROR),
            "a bad body and a failure come together");
        demand(rc != NGX_DONE || reader_.is_complete(), "its end is its end");
        return rc == NGX_OK;
    }

    Parsed parsed_;
    ngx::HttpResponseReader reader_;
    std::size_t piece_;
};

Outcome received(std::string_view bytes, std::size_t limit, std::size_t piece)
{
    auto outcome = Receiver(limit, piece).receive(bytes);
    demand(outcome.response.body.size() <= limit, "bounded");
    demand(!outcome.failure || is_printable(outcome.failure),
        "a failure is fit for a log");
    demand(!outcome.is_complete ||
            (outcome.response.status >= 0 && outcome.response.status <= 999),
        "a status of three digits");
    demand(outcome.response.content_type.find_first_of("\r\n") ==
                std::string::npos &&
            outcome.response.cache_control.find_first_of("\r\n") ==
                std::string::npos,
        "a header's value is one line");
    return outcome;
}

std::size_t number(std::string_view text, std::size_t most)
{
    std::size_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return std::min(value, most);
}

}

// The limit of the body, the size of the pieces, and the response. The size of
// the pieces makes no difference.
FUZZ(http_reply)
{
    auto limit = number(take_line(input), 64 * 1024);
    auto piece = 1 + number(take_line(input), 1024);
    auto whole = received(input, limit, input.size() + 1);

    for (auto size : {std::size_t(1), piece}) {
        auto cut = received(input, limit, size);
        demand((cut.failure == nullptr) == (whole.failure == nullptr) &&
                (!cut.failure ||
                    std::string_view(cut.failure) == whole.failure),
            "the same failure");
        if (whole.failure) {
            continue;
        }
        demand(cut.is_complete == whole.is_complete, "as complete");
        demand(cut.response.status == whole.response.status &&
                cut.response.content_type == whole.response.content_type &&
                cut.response.cache_control == whole.response.cache_control &&
                cut.response.body == whole.response.body,
            "the same answer");
    }
}

}
