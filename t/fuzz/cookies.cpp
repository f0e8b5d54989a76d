#include "core/encoding.h"
#include "core/http.h"
#include "fuzz.h"

#include <map>

namespace oidc::test {
namespace {

// Applies Set-Cookie values to a browser's cookies.
void take(std::map<std::string, std::string>& jar,
    const std::vector<std::string>& set_cookies)
{
    for (const auto& line : set_cookies) {
        auto mark = line.find('=');
        auto end = line.find(';');
        if (line.find("; Max-Age=0;") != line.npos) {
            jar.erase(line.substr(0, mark));
        } else {
            jar[line.substr(0, mark)] = line.substr(mark + 1, end - mark - 1);
        }
    }
}

std::string header(const std::map<std::string, std::string>& jar)
{
    std::string text;
    for (const auto& [name, value] : jar) {
        text += (text.empty() ? "" : "; ") + name + "=" + value;
    }
    return text;
}

}

// A name, then the lines of a Cookie header.
FUZZ(cookies)
{
    auto wanted = take_line(input);
    std::vector<std::string_view> lines;
    while (!input.empty()) {
        lines.push_back(take_line(input));
    }

    std::optional<std::string_view> first;
    each_cookie(lines, [&](std::string_view name, std::string_view value) {
        demand(
            name.find_first_of("=;") == name.npos, "a name has no = and no ;");
        demand(!name.starts_with(' ') && !name.starts_with('\t'),
            "no blank first");
        demand(value.find(';') == value.npos, "a value has no ;");
        if (name == wanted && !first) {
            first = value;
        }
        return false;
    });
    demand(find_cookie(lines, wanted) == first, "the first one of a name");
    ChunkedCookie(lines, wanted).join(first.value_or(wanted));
    demand(clear_chunks({std::string(wanted), "", "/", "Lax", true}, lines)
                .size() <= max_chunks,
        "no more deletions than chunks");
}

// Two bytes that give a length, and bytes to fill it with.
FUZZ(chunks)
{
    std::size_t size = 1;
    for (std::size_t i = 0; i < 2 && i < input.size(); i++) {
        size = size << 8 | static_cast<unsigned char>(input[i]);
    }
    size %= cookie_chunk * max_chunks;
    std::string value = "x";
    while (value.size() < size) {
        value += base64url(input.substr(0, 1024));
    }
    value.resize(size + 1);

    CookieScope scope{"s", "", "/", "Lax", true};
    std::map<std::string, std::string> jar;
    for (int round = 0; round < 2; round++) {
        auto before = header(jar);
        std::string_view lines[] = {before};
        take(jar, set_chunks(scope, value, lines));

        auto after = header(jar);
        std::string_view sent[] = {after};
        auto head = find_cookie(sent, "s");
        demand(head && ChunkedCookie(sent, "s").join(*head) == value,
            "the value comes back");
        value.resize(value.size() / 2 + 1);
    }
    auto all = header(jar);
    std::string_view lines[] = {all};
    take(jar, clear_chunks(scope, lines));
    demand(jar.empty(), "nothing is left");
}

}
