#include "core/encoding.h"

#include <array>
#include <cstdint>

namespace oidc {
namespace {

constexpr std::string_view standard_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr unsigned char foreign = 0xff; // the values are below 0x40

constexpr auto url_values = [] {
    std::array<unsigned char, 256> table{};
    table.fill(foreign);
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
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
        (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

void append_hex(std::string& to, char c)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    auto byte = static_cast<unsigned char>(c);
    to += digits[byte >> 4];
    to += digits[byte & 15];
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

std::optional<char> unescape(std::string_view text)
{
    if (text.size() < 3) {
        return {};
    }
    auto high = hex_value(text[1]);
    auto low = hex_value(text[2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) {
        return {};
    }
    return static_cast<char>(high << 4 | low);
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

std::string_view cut(std::string_view& text, char separator)
{
    auto end = text.find(separator);
    auto head = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    return head;
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

    // On the path of every request: digits by fours, then what is left.
    std::string bytes(text.size() * 3 / 4, '\0');
    auto out = bytes.data();
    unsigned seen = 0; // of all digits; a foreign one leaves it over 63

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

bool is_control(char c)
{
    auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
}

std::string list_member(std::string_view text)
{
    return percent_encode(
        text, [](char c) { return c != ',' && c != '%' && !is_control(c); });
}

Result<std::vector<Parameter>> parse_form(
    std::string_view text, std::size_t most)
{
    std::vector<Parameter> parameters;

    while (!text.empty()) {
        auto pair = cut(text, '&');
        if (pair.empty()) {
            continue;
        }
        if (parameters.size() == most) {
            return Error{
                Errc::callback_malformed, "client sent too many parameters"};
        }
        auto name = form_decode(cut(pair, '='));
        auto value = form_decode(pair);
        if (!name || !value) {
            return Error{Errc::callback_malformed,
                "client sent a parameter that is not form-urlencoded"};
        }
        parameters.push_back({std::move(*name), std::move(*value)});
    }
    return parameters;
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
    constexpr std::size_t most = 128;
    constexpr std::string_view risky = "\"\\<>"; // in a log, or in a page
    std::string safe = "\"";

    for (char c : text.substr(0, most)) {
        if (c < 0x20 || c > 0x7e || risky.find(c) != risky.npos) {
            safe += "\\x";
            append_hex(safe, c);
        } else {
            safe += c;
        }
    }
    safe += text.size() > most ? "\"..." : "\"";
    return safe;
}

}
