#include "fuzz.h"

#include "support/play.h"

#include <algorithm>
#include <stdexcept>

namespace oidc::test {

std::map<std::string, Run>& Target::all()
{
    static std::map<std::string, Run> targets;
    return targets;
}

void demand(bool holds, const char* what)
{
    if (!holds) {
        throw std::logic_error(std::string("not so: ") + what);
    }
}

std::string_view take_line(std::string_view& input)
{
    auto end = input.find('\n');
    auto line = input.substr(0, end);
    input.remove_prefix(end == input.npos ? input.size() : end + 1);
    return line;
}

bool is_clean(std::string_view text)
{
    return std::none_of(text.begin(), text.end(), [](char c) {
        auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    });
}

bool is_printable(std::string_view text)
{
    return std::all_of(
        text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string fixed_bytes(std::size_t size)
{
    return std::string(size, '\x5a');
}

const Provider& example_provider()
{
    static const Provider provider = [] {
        Provider made;
        Secret masters[] = {master_key(1)};
        made = Provider(example_client(), masters);
        return made;
    }();
    return provider;
}

}
