#include "core/text.h"

#include <algorithm>

namespace oidc {
namespace {

std::optional<int> hex_value(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    c = lower_case(c);
    return c >= 'a' && c <= 'f' ? std::optional(c - 'a' + 10) : std::nullopt;
}

}

std::string lower_case(std::string_view text)
{
    std::string low(text);
    for (auto& c : low) {
        c = lower_case(c);
    }
    return low;
}

bool equal_ignoring_case(std::string_view a, std::string_view b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
        [](char x, char y) { return lower_case(x) == lower_case(y); });
}

bool is_printable(std::string_view text)
{
    return std::all_of(
        text.begin(), text.end(), [](char c) { return is_printable(c); });
}

std::string_view trim(std::string_view text)
{
    constexpr std::string_view blanks = " \t";
    auto start = text.find_first_not_of(blanks);
    if (start == text.npos) {
        return {};
    }
    return text.substr(start, text.find_last_not_of(blanks) - start + 1);
}

std::string_view take_until(std::string_view& text, char separator)
{
    auto end = text.find(separator);
    auto part = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    return part;
}

void append_hex(std::string& to, char byte)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    auto value = static_cast<unsigned char>(byte);
    to += digits[value >> 4];
    to += digits[value & 15];
}

std::optional<std::string> hex_decode(std::string_view digits)
{
    std::string bytes;
    if (digits.size() % 2 != 0) {
        return {};
    }
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        auto high = hex_value(digits[i]);
        auto low = hex_value(digits[i + 1]);
        if (!high || !low) {
            return {};
        }
        bytes += static_cast<char>(*high << 4 | *low);
    }
    return bytes;
}

}
