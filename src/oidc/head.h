// The size of the head of a response of ours. A proxy in front of nginx refuses
// a head that is larger than its buffer, 4 KB by default (proxy_buffer_size).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace oidc {

// Of the 4 KB, bytes for our header fields; nginx and the configuration add the
// others.
constexpr std::size_t max_head = 3584;

// Bytes left in a head with this location, empty for none, and these Set-Cookie
// values. 0 where they do not fit.
std::size_t room_in_head(
    std::string_view location, const std::vector<std::string>& cookies);

// Bytes that these Set-Cookie values take.
std::size_t size_in_head(const std::vector<std::string>& cookies);

// Drops deletions of cookies from the end while they do not fit. The browser
// sends such a cookie again, and a later response deletes it. Drops none where
// the others alone do not fit.
void fit_deletions(
    std::string_view location, std::vector<std::string>& cookies);

}
