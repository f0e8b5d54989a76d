#include "core/http.h"
#include "fuzz.h"

namespace oidc::test {

// Content-Type and Cache-Control of a response.
FUZZ(headers)
{
    HttpResponse response;
    response.content_type = take_line(input);
    if (has_media_type(response, "application/json")) {
        std::string_view type = response.content_type;
        auto start = type.find_first_not_of(" \t");
        demand(is_clean(type.substr(start, sizeof("application/json") - 1)),
            "nothing but the type itself is taken for it");
        demand(!has_media_type(response, "text/html"), "one type");
    }

    auto life = cache_lifetime(input, 60s, 24h, 1h);
    demand(life >= 60s && life <= 24h, "between the bounds");
}

}
