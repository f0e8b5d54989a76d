#include "core/json.h"

#include <jansson.h>

#include <charconv>
#include <cmath>
#include <cstdlib>

namespace oidc {
namespace {

constexpr int max_depth = 64;

// jansson itself recurses, down to 2048 levels.
bool too_deep(std::string_view text)
{
    int depth = 0;
    bool in_string = false;

    for (std::size_t i = 0; i < text.size(); i++) {
        switch (text[i]) {
        case '"':
            in_string = !in_string;
            break;
        case '\\':
            i += in_string;
            break;
        case '{':
        case '[':
            depth += !in_string;
            break;
        case '}':
        case ']':
            depth -= !in_string;
            break;
        }
        if (depth > max_depth) {
            return true;
        }
    }
    return false;
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
    constexpr double max_seconds = 253402300799; // the year 9999

    if (!json_is_number(value_)) {
        return {};
    }
    auto seconds = std::floor(json_number_value(value_));
    if (!(seconds >= 0 && seconds <= max_seconds)) {
        return {};
    }
    return Seconds(static_cast<std::int64_t>(seconds));
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
    Json json(
        json_loadb(text.data(), text.size(), JSON_REJECT_DUPLICATES, &error));
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
