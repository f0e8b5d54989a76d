// The wrapper of jansson: owned documents, borrowed values, and a parser that
// refuses texts that two parsers could read differently.
#pragma once

#include "core/result.h"
#include "core/time.h"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

struct json_t;

namespace oidc {

// A borrowed value, valid as long as its Json; may be absent. A getter returns
// nothing if the value is absent or of another type. A member that is null is
// absent: encoders write one for what is not set.
class JsonValue {
public:
    JsonValue() = default;
    explicit JsonValue(const json_t* value) : value_(value) {}

    bool exists() const { return value_ != nullptr; }
    bool is_object() const;
    bool is_array() const;

    // True for a number that is larger than a 64-bit integer, in an array or an
    // object, too: two of them may look alike.
    bool is_rounded() const;

    std::optional<std::string_view> string() const;
    std::optional<std::int64_t> integer() const;
    std::optional<bool> boolean() const;

    // a NumericDate, truncated to seconds (RFC 7519, 2)
    std::optional<Time> date() const;

    // such a number as a duration
    std::optional<Seconds> seconds() const;

    // the same of a number, or of a string of its digits
    std::optional<Seconds> seconds_or_digits() const;

    JsonValue operator[](const char* name) const;
    bool mentions(const char* name) const; // true also if it is null

    std::size_t size() const;               // of an array or object
    JsonValue at(std::size_t index) const;  // of an array
    std::vector<std::string> names() const; // of an object, but for nulls

    bool has_string(std::string_view element) const; // in an array

    // strings unchanged; numbers, booleans and nested values as JSON
    std::string text() const;
    std::string dump() const;

private:
    const json_t* value_ = nullptr;
};

class Json {
public:
    // RFC 8259, one object, UTF-8, at most 64 levels deep; duplicate members,
    // NUL in a string, real numbers out of range and trailing bytes are
    // refused. An integer beyond 64 bits is a number that no getter returns but
    // text() and dump(), rounded. The reason is a phrase for Error::detail.
    static std::optional<Json> parse(std::string_view text, std::string& why);
    static std::optional<Json> parse(std::string_view text);

    JsonValue operator[](const char* name) const { return root()[name]; }
    bool mentions(const char* name) const { return root().mentions(name); }
    JsonValue root() const { return JsonValue(root_.get()); }

private:
    struct Release {
        void operator()(json_t* value) const;
    };

    explicit Json(json_t* root) : root_(root) {}

    std::unique_ptr<json_t, Release> root_;
};

// A member of json_object(), which returns compact JSON. Strings are UTF-8.
struct JsonMember {
    const char* name;
    std::variant<std::string_view, Time> value;
};

std::string json_object(std::initializer_list<JsonMember> members);

}
