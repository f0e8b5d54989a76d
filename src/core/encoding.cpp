#include "core/encoding.h"

#include "core/text.h"

#include <array>
#include <cstdint>

namespace oidc {
namespace {

constexpr std::string_view standard_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr unsigned char invalid = 0xff; // digit values are below 0x40

constexpr auto url_values = [] {
    std::array<unsigned char, 256> table{};
    table.fill(invalid);
    for (unsigned char i = 0; i < 64; i++) {
        table[static_cast<unsigned char>(url_alphabet[i])] = i;
    }
    return table;
}();

std::uint32_t byte_at(std::string_view bytes, std::size_t i)
{
    return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0;
}

std::string encode64(std::string_view bytes, std::string_view alphabet)
{
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);

    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        auto group = byte_at(bytes, i) << 16 | byte_at(bytes, i + 1) << 8 |
            byte_at(bytes, i + 2);
        auto digits = bytes.size() - i >= 3 ? 4 : bytes.size() - i + 1;

        for (std::size_t k = 0; k < digits; k++) {
            text += alphabet[group >> (18 - 6 * k) & 63];
        }
    }
    return text;
}

bool is_unreserved(char c)
{
    return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_' ||
        c == '~';
}

std::string percent_encode(std::string_view text, bool (*is_plain)(char))
{
    std::string encoded;
    encoded.reserve(text.size() * 3);

    for (char c : text) {
        if (is_plain(c)) {
            encoded += c;
        } else {
            encoded += '%';
            append_hex(encoded, c);
        }
    }
    return encoded;
}

// %XX at the beginning of the text; NUL is refused.
std::optional<char> unescape(std::string_view text)
{
    auto byte = hex_decode(text.substr(1, 2));
    if (!byte || byte->empty() || byte->front() == '\0') {
        return {};
    }
    return byte->front();
}

std::optional<std::string> form_decode(std::string_view text)
{
    std::string plain;
    plain.reserve(text.size());

    for (std::size_t i = 0; i < text.size(); i++) {
        if (text[i] == '\0') {
            return {};
        }
        if (text[i] != '%') {
            plain += text[i] == '+' ? ' ' : text[i];
            continue;
        }
        auto c = unescape(text.substr(i));
        if (!c) {
            return {};
        }
        plain += *c;
        i += 2;
    }
    return plain;
}

}

std::string base64url(std::string_view bytes)
{
    return encode64(bytes, url_alphabet);
}

std::optional<std::string> base64url_decode(std::string_view text)
{
    if (text.size() % 4 == 1) {
        return {};
    }

    // Runs for every request: decodes four digits at a time, then the rest.
    std::string bytes(text.size() * 3 / 4, '\0');
    auto out = bytes.data();
    unsigned seen = 0; // OR of all digits; above 63 if one is invalid

    auto digit = [&](std::size_t i) -> std::uint32_t {
        auto value = url_values[static_cast<unsigned char>(text[i])];
        seen |= value;
        return value;
    };
    std::size_t i = 0;
    for (; i + 4 <= text.size(); i += 4) {
        auto bits = digit(i) << 18 | digit(i + 1) << 12 | digit(i + 2) << 6 |
            digit(i + 3);
        *out++ = static_cast<char>(bits >> 16);
        *out++ = static_cast<char>(bits >> 8);
        *out++ = static_cast<char>(bits);
    }

    std::uint32_t unused = 0;
    if (text.size() - i == 2) {
        auto bits = digit(i) << 6 | digit(i + 1);
        *out = static_cast<char>(bits >> 4);
        unused = bits & 0xf;
    } else if (text.size() - i == 3) {
        auto bits = digit(i) << 12 | digit(i + 1) << 6 | digit(i + 2);
        *out++ = static_cast<char>(bits >> 10);
        *out = static_cast<char>(bits >> 2);
        unused = bits & 0x3;
    }
    if (seen > 63 || unused != 0) {
        return {};
    }
    return bytes;
}

std::string base64(std::string_view bytes)
{
    auto text = encode64(bytes, standard_alphabet);
    text.append((4 - text.size() % 4) % 4, '=');
    return text;
}

std::string percent_encode(std::string_view text)
{
    return percent_encode(text, is_unreserved);
}

std::string list_member(std::string_view text)
{
    return percent_encode(
        text, [](char c) { return c != ',' && c != '%' && !is_control(c); });
}

std::optional<std::vector<Parameter>> parse_form(
    std::string_view text, std::string& why)
{
    constexpr std::size_t max_parameters = 64;
    std::vector<Parameter> parameters;

    while (!text.empty()) {
        auto pair = take_until(text, '&');
        if (pair.empty()) {
            continue;
        }
        if (parameters.size() == max_parameters) {
            why = "too many parameters";
            return {};
        }
        auto name = form_decode(take_until(pair, '='));
        auto value = form_decode(pair);
        if (!name || !value) {
            why = "a parameter that is not form-urlencoded";
            return {};
        }
        parameters.push_back({std::move(*name), std::move(*value)});
    }
    return parameters;
}

std::string form_value(std::string_view form, std::string_view name)
{
    std::string value;
    auto parameters = parse_form(form);
    for (std::size_t i = 0, seen = 0; parameters && i < parameters->size();
         i++) {
        if ((*parameters)[i].name == name) {
            value = seen++ == 0 ? (*parameters)[i].value : "";
        }
    }
    return value;
}

std::optional<std::vector<Parameter>> parse_form(std::string_view text)
{
    std::string why;
    return parse_form(text, why);
}

void append_parameter(
    std::string& form, std::string_view name, std::string_view value)
{
    if (!form.empty()) {
        form += '&';
    }
    form += percent_encode(name);
    form += '=';
    form += percent_encode(value);
}

std::string quoted(std::string_view text)
{
    constexpr std::size_t max_length = 128;
    constexpr std::string_view risky = "\"\\<>"; // in a log or a page
    std::string safe = "\"";

    for (char c : text.substr(0, max_length)) {
        if (!is_printable(c) || risky.find(c) != risky.npos) {
            safe += "\\x";
            append_hex(safe, c);
        } else {
            safe += c;
        }
    }
    safe += text.size() > max_length ? "\"..." : "\"";
    return safe;
}

}
