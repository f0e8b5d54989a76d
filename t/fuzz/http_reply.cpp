#include "fuzz.h"
#include "ngx/http_response.h"

#include <algorithm>
#include <charconv>
#include <memory>

namespace oidc::test {
namespace {

// A request as far as nginx's parsers look at one.
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

// What came of an answer.
struct Outcome {
    const char* complaint;
    bool is_complete;
    HttpResponse response;
};

// Bytes behind which nothing can be read.
std::unique_ptr<char[]> exactly(std::string_view bytes)
{
    auto copy = std::make_unique<char[]>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), copy.get());
    return copy;
}

// As nginx does: the head grows in one buffer, what stands there behind it is
// the first of the body, and the rest of that comes as it comes.
class Receiver {
public:
    Receiver(std::size_t limit, std::size_t piece) :
        reply_(limit), piece_(piece)
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
            rc = reply_.read_head(&parsed_.request, &buffer);
        }
        demand((reply_.complaint() != nullptr) ==
                (rc == NGX_HTTP_UPSTREAM_INVALID_HEADER),
            "a bad head and a complaint come together");
        if (rc == NGX_OK) {
            bytes.remove_prefix(
                bytes.size() - static_cast<std::size_t>(end - buffer.pos));
            receive_body(bytes, buffer.last - buffer.pos);
        }
        auto is_complete =
            rc == NGX_OK && !reply_.complaint() && reply_.is_complete();
        return {reply_.complaint(), is_complete, reply_.take()};
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
            reply_.read_body(&parsed_.request, {copy.get(), piece.size()});
        demand((reply_.complaint() != nullptr) == (rc == NGX_ERROR),
            "a bad body and a complaint come together");
        demand(rc != NGX_DONE || reply_.is_complete(), "its end is its end");
        return rc == NGX_OK;
    }

    Parsed parsed_;
    ngx::Reply reply_;
    std::size_t piece_;
};

Outcome received(std::string_view bytes, std::size_t limit, std::size_t piece)
{
    auto outcome = Receiver(limit, piece).receive(bytes);
    demand(outcome.response.body.size() <= limit, "bounded");
    demand(!outcome.complaint || is_printable(outcome.complaint),
        "a complaint is fit for a log");
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

// The limit of a body, the size of the pieces, and the answer. How its bytes
// are cut makes no difference.
FUZZ(http_reply)
{
    auto limit = number(take_line(input), 64 * 1024);
    auto piece = 1 + number(take_line(input), 1024);
    auto whole = received(input, limit, input.size() + 1);

    for (auto size : {std::size_t(1), piece}) {
        auto cut = received(input, limit, size);
        demand((cut.complaint == nullptr) == (whole.complaint == nullptr) &&
                (!cut.complaint ||
                    std::string_view(cut.complaint) == whole.complaint),
            "the same complaint");
        if (whole.complaint) {
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
