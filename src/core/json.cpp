#include "core/json.h"

#include "core/text.h"

#include <jansson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace oidc {
namespace {

constexpr int max_depth = 64;
constexpr std::int64_t max_seconds = 253402300799; // the year 9999

// Calls visit(position) for every byte outside of strings, until it returns
// true.
template <class Visit>
bool each_outside_strings(std::string_view text, Visit visit)
{
    bool in_string = false;

    for (std::size_t i = 0; i < text.size(); i++) {
        if (text[i] == '"') {
            in_string = !in_string;
        } else if (text[i] == '\\') {
            i += in_string;
        } else if (!in_string && visit(i)) {
            return true;
        }
    }
    return false;
}

// jansson itself recurses, down to 2048 levels.
bool too_deep(std::string_view text)
{
    int depth = 0;

    return each_outside_strings(text, [&](std::size_t i) {
        depth += text[i] == '{' || text[i] == '[';
        depth -= text[i] == '}' || text[i] == ']';
        return depth > max_depth;
    });
}

// The characters of a number, well-formed or not, that begins there.
std::string_view number_at(std::string_view text, std::size_t start)
{
    auto end = text.find_first_not_of("0123456789+-.eE", start);
    return text.substr(start, end - start);
}

bool is_large_integer(std::string_view number)
{
    std::int64_t value;
    auto end = number.data() + number.size();
    auto [stop, error] = std::from_chars(number.data(), end, value);
    return error == std::errc::result_out_of_range && stop == end;
}

// jansson refuses a text with an integer beyond 64 bits. As a real number it is
// of no use, but the other members are; JSON_DECODE_INT_AS_REAL would round all
// integers. The digits beyond the range of a double are dropped.
std::string with_large_integers_as_reals(std::string_view text)
{
    constexpr std::size_t max_digits = 300;
    std::string changed;
    std::size_t copied = 0;
    std::size_t seen = 0;

    each_outside_strings(text, [&](std::size_t i) {
        auto number = i >= seen ? number_at(text, i) : std::string_view();
        seen = std::max(seen, i + number.size());
        if (is_large_integer(number)) {
            changed += text.substr(copied, i - copied);
            changed += number.substr(0, max_digits);
            changed += "e0";
            copied = seen;
        }
        return false;
    });
    changed += text.substr(copied);
    return changed;
}

json_t* parse_strictly(std::string_view text, json_error_t& error)
{
    return json_loadb(text.data(), text.size(), JSON_REJECT_DUPLICATES, &error);
}

json_t* parse_object(std::string_view text, json_error_t& error)
{
    auto root = parse_strictly(text, error);
    return root == nullptr &&
            json_error_code(&error) == json_error_numeric_overflow ?
        parse_strictly(with_large_integers_as_reals(text), error) :
        root;
}

// The shortest text that reads back as the same number: jansson would print 0.1
// with seventeen digits.
std::string number_text(double number)
{
    char digits[32];
    auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
    return {digits, end};
}

}

bool JsonValue::is_object() const
{
    return json_is_object(value_);
}

bool JsonValue::is_rounded() const
{
    constexpr double limit = 0x1p63; // of a 64-bit integer

    if (json_is_real(value_)) {
        return std::abs(json_real_value(value_)) >= limit;
    }
    for (std::size_t i = 0; is_array() && i < size(); i++) {
        if (at(i).is_rounded()) {
            return true;
        }
    }
    return is_object() && std::ranges::any_of(names(), [&](const auto& name) {
        return (*this)[name.c_str()].is_rounded();
    });
}

bool JsonValue::is_array() const
{
    return json_is_array(value_);
}

std::optional<std::string_view> JsonValue::string() const
{
    if (!json_is_string(value_)) {
        return {};
    }
    return std::string_view(
        json_string_value(value_), json_string_length(value_));
}

std::optional<std::int64_t> JsonValue::integer() const
{
    if (!json_is_integer(value_)) {
        return {};
    }
    return json_integer_value(value_);
}

std::optional<bool> JsonValue::boolean() const
{
    if (!json_is_boolean(value_)) {
        return {};
    }
    return json_is_true(value_);
}

std::optional<Seconds> JsonValue::seconds() const
{
    if (!json_is_number(value_)) {
        return {};
    }
    auto seconds = std::floor(json_number_value(value_));
    if (!(seconds >= 0 && seconds <= static_cast<double>(max_seconds))) {
        return {};
    }
    return Seconds(static_cast<std::int64_t>(seconds));
}

std::optional<Seconds> JsonValue::seconds_or_digits() const
{
    auto digits = string();
    if (!digits || !std::all_of(digits->begin(), digits->end(), is_digit)) {
        return seconds();
    }
    auto number = parse_number<std::int64_t>(*digits);
    return number && *number <= max_seconds ? std::optional(Seconds(*number)) :
                                              std::nullopt;
}

std::optional<Time> JsonValue::date() const
{
    auto since_epoch = seconds();
    return since_epoch ? std::optional(Time(*since_epoch)) : std::nullopt;
}

JsonValue JsonValue::operator[](const char* name) const
{
    auto member = json_object_get(value_, name);
    return json_is_null(member) ? JsonValue() : JsonValue(member);
}

bool JsonValue::mentions(const char* name) const
{
    return json_object_get(value_, name) != nullptr;
}

std::size_t JsonValue::size() const
{
    return is_object() ? json_object_size(value_) : json_array_size(value_);
}

JsonValue JsonValue::at(std::size_t index) const
{
    return JsonValue(json_array_get(value_, index));
}

std::vector<std::string> JsonValue::names() const
{
    std::vector<std::string> all;
    auto object = const_cast<json_t*>(value_);
    const char* name;
    json_t* member;

    json_object_foreach(object, name, member)
    {
        if (!json_is_null(member)) {
            all.emplace_back(name);
        }
    }
    return all;
}

bool JsonValue::has_string(std::string_view element) const
{
    for (std::size_t i = 0; is_array() && i < size(); i++) {
        if (at(i).string() == element) {
            return true;
        }
    }
    return false;
}

std::string JsonValue::text() const
{
    if (auto plain = string()) {
        return std::string(*plain);
    }
    if (json_is_real(value_)) {
        return number_text(json_real_value(value_));
    }
    return dump();
}

std::string JsonValue::dump() const
{
    auto text = json_dumps(value_, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == nullptr) {
        return {};
    }
    std::string copy(text);
    std::free(text);
    return copy;
}

void Json::Release::operator()(json_t* value) const
{
    json_decref(value);
}

std::optional<Json> Json::parse(std::string_view text, std::string& why)
{
    if (too_deep(text)) {
        why = "JSON nested too deeply";
        return {};
    }
    json_error_t error;
    Json json(parse_object(text, error));
    if (json.root_ == nullptr) {
        why = json_error_code(&error) == json_error_duplicate_key ?
            "JSON with a duplicate member" :
            "malformed JSON";
        return {};
    }
    if (!json.root().is_object()) {
        why = "JSON other than an object";
        return {};
    }
    return json;
}

std::optional<Json> Json::parse(std::string_view text)
{
    std::string why;
    return parse(text, why);
}

std::string json_object(std::initializer_list<JsonMember> members)
{
    std::unique_ptr<json_t, decltype(&json_decref)> object(
        ::json_object(), json_decref);
    for (const auto& [name, value] : members) {
        auto text = std::get_if<std::string_view>(&value);
        json_object_set_new(object.get(), name,
            text != nullptr ? json_stringn(text->data(), text->size()) :
                              json_integer(to_seconds(std::get<Time>(value))));
    }
    return JsonValue(object.get()).dump();
}

}
