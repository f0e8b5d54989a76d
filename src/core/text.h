// ASCII text, independent of the locale: letter case, character classes, parts
// of a line, numbers. Bytes over 0x7f are unchanged and in no class.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace oidc {

constexpr char lower_case(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

std::string lower_case(std::string_view text);

bool equal_ignoring_case(std::string_view a, std::string_view b);

constexpr bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

constexpr bool is_letter(char c)
{
    return lower_case(c) >= 'a' && lower_case(c) <= 'z';
}

// Control characters, which no header may contain.
constexpr bool is_control(char c)
{
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

// Visible characters and the space.
constexpr bool is_printable(char c)
{
    return c >= 0x20 && c < 0x7f;
}

bool is_printable(std::string_view text); // all of it; true if empty

// Strips spaces and tabs from both ends (RFC 9110, 5.6.3).
std::string_view trim(std::string_view text);

// Removes and returns the text before the separator, and removes the separator;
// without one, all of the text.
std::string_view take_until(std::string_view& text, char separator);

// The name that differs in the fewest characters, regardless of case; empty
// where more than a third of the text differs.
std::string_view nearest(
    std::string_view text, const std::vector<std::string_view>& names);

// A decimal number that spans the whole text and fits into T.
template <class T>
std::optional<T> parse_number(std::string_view text)
{
    T number{};
    auto end = text.data() + text.size();
    auto [stop, failure] = std::from_chars(text.data(), end, number);
    return failure == std::errc() && stop == end ? std::optional(number) :
                                                   std::nullopt;
}

// Two hex digits a byte. Both cases are decoded; upper case is written.
void append_hex(std::string& to, char byte);
std::optional<std::string> hex_decode(std::string_view digits);

}
