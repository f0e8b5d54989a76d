#include "oidc/head.h"

#include "core/http.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>

namespace oidc {
namespace {

constexpr std::size_t size_of_field(
    std::string_view name, std::size_t value_size)
{
    return name.size() + value_size + sizeof(": \r\n") - 1;
}

// That all of our responses have.
constexpr std::size_t size_of_fixed = size_of_field("Cache-Control", 8) +
    size_of_field("Referrer-Policy", 11) + size_of_field("Retry-After", 1);

// Some pages have a Refresh field instead, which is longer.
std::size_t size_of_location(std::string_view location)
{
    return location.empty() ?
        0 :
        size_of_field("Refresh", sizeof("0; url=") - 1 + location.size());
}

}

std::size_t size_in_head(const std::vector<std::string>& cookies)
{
    return std::accumulate(cookies.begin(), cookies.end(), std::size_t(0),
        [](std::size_t size, const std::string& cookie) {
            return size + size_of_field("Set-Cookie", cookie.size());
        });
}

std::size_t room_in_head(
    std::string_view location, const std::vector<std::string>& cookies)
{
    auto size =
        size_of_fixed + size_of_location(location) + size_in_head(cookies);
    return max_head - std::min(size, max_head);
}

void fit_deletions(std::string_view location, std::vector<std::string>& cookies)
{
    std::vector<std::string> others;
    std::copy_if(cookies.begin(), cookies.end(), std::back_inserter(others),
        std::not_fn(deletes_cookie));
    if (room_in_head(location, others) == 0) {
        return;
    }
    for (auto i = cookies.size(); i > 0 && room_in_head(location, cookies) == 0;
         i--) {
        auto cookie = cookies.begin() + static_cast<std::ptrdiff_t>(i - 1);
        if (deletes_cookie(*cookie)) {
            cookies.erase(cookie);
        }
    }
}

}
