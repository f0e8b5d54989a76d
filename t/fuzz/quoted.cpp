#include "core/encoding.h"
#include "fuzz.h"

namespace oidc::test {

FUZZ(quoted)
{
    auto text = quoted(input);
    auto end = text.rfind('"');
    demand(is_printable(text), "fit for a log");
    demand(text.size() <= 128 * 4 + 5, "bounded");
    demand(text.front() == '"' && end > 0, "in quotes");

    auto inner = std::string_view(text).substr(1, end - 1);
    demand(inner.find_first_of("\"<>") == inner.npos, "no markup, no quote");
    for (std::size_t i = 0; (i = inner.find('\\', i)) != inner.npos; i += 4) {
        demand(inner.substr(i).size() >= 4 && inner[i + 1] == 'x',
            "a backslash begins an escape");
    }
}

}
