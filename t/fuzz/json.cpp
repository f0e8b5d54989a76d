#include "core/json.h"
#include "fuzz.h"

namespace oidc::test {
namespace {

// Colons outside of strings: one per member.
std::size_t colons(std::string_view text)
{
    std::size_t count = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); i++) {
        if (in_string && text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            in_string = !in_string;
        } else {
            count += !in_string && text[i] == ':';
        }
    }
    return count;
}

// Returns the number of members of all objects in the value.
std::size_t walk(JsonValue value, int depth)
{
    std::size_t members = 0;
    demand(depth <= 64, "bounded in depth");
    demand(value.exists(), "there");
    if (auto text = value.string()) {
        demand(text->find('\0') == text->npos, "no NUL");
        demand(value.text() == *text, "a string as it is");
    }
    if (auto date = value.date()) {
        demand(*date >= Time() && *date <= from_seconds(253402300799),
            "a date of four-digit years");
    }
    for (std::size_t i = 0; value.is_array() && i < value.size(); i++) {
        members += walk(value.at(i), depth + 1);
    }
    if (value.is_object()) {
        members += value.size();
        for (const auto& name : value.names()) {
            demand(value.mentions(name.c_str()), "named");
            members += walk(value[name.c_str()], depth + 1);
        }
    }
    if (auto seconds = value.seconds_or_digits()) {
        demand(*seconds >= 0s && *seconds <= Seconds(253402300799),
            "seconds that cannot overflow");
    }
    value.integer();
    value.boolean();
    value.has_string("a");
    return members;
}

}

FUZZ(json)
{
    std::string why;
    auto json = Json::parse(input, why);
    if (!json) {
        demand(!why.empty() && is_printable(why), "a reason fit for a log");
        return;
    }
    demand(json->root().is_object(), "an object");
    demand(walk(json->root(), 1) == colons(input), "no member twice");

    auto text = json->root().dump();
    auto again = Json::parse(text);
    demand(again && again->root().dump() == text, "written and read again");
}

}
