#include "core/text.h"

#include <algorithm>
#include <numeric>

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

// The fewest characters to insert, delete or replace (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (std::size_t i = 0; i < a.size(); i++) {
        auto diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); j++) {
            auto same = lower_case(a[i]) == lower_case(b[j]);
            auto above = row[j + 1];
            row[j + 1] =
                std::min({above + 1, row[j] + 1, diagonal + (same ? 0 : 1)});
            diagonal = above;
        }
    }
    return row.back();
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

std::string_view nearest(
    std::string_view text, const std::vector<std::string_view>& names)
{
    auto least = std::max<std::size_t>(text.size() / 3, 1) + 1;
    std::string_view found;
    for (auto name : names) {
        auto size = distance(text, name);
        if (size < least) {
            least = size;
            found = name;
        }
    }
    return found;
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
