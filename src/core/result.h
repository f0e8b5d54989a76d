// A function that can fail returns a Result, which holds a value or an Error.
#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace oidc {

// The error code. The layers above enumerate the codes, see oidc/errors.h. The
// caller passes the codes to functions of this layer that fail in several ways.
enum class Errc : int;

// A failure. The detail completes a sentence in the log and holds no secret.
// External text must have passed through quoted().
struct Error {
    Errc code;
    std::string detail;
};

// The codes of a failed exchange with a server: no connection, no response in
// time, and a response that is incomplete or violates the protocol.
struct ExchangeCodes {
    Errc unreachable;
    Errc timeout;
    Errc malformed;
};

template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : either_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : either_(std::in_place_index<1>, std::move(error)) {}

    explicit operator bool() const { return either_.index() == 0; }

    T& operator*() & { return std::get<0>(either_); }
    const T& operator*() const& { return std::get<0>(either_); }
    T&& operator*() && { return std::get<0>(std::move(either_)); }
    T* operator->() { return &std::get<0>(either_); }
    const T* operator->() const { return &std::get<0>(either_); }

    const Error& error() const& { return std::get<1>(either_); }
    Error&& error() && { return std::get<1>(std::move(either_)); }

    // The Result that `next` makes of the value, or the error as it is.
    template <class Next>
    auto and_then(Next next) && -> std::invoke_result_t<Next, T&&>
    {
        if (!*this) {
            return std::move(*this).error();
        }
        return next(*std::move(*this));
    }

private:
    std::variant<T, Error> either_;
};

struct Ok {};
using Check = Result<Ok>;

}
