#include "oidc/cookie_content.h"

#include "core/encoding.h"

namespace oidc {
namespace {

// An attacker who plants the heads of cookies in chunks has all chunks joined
// to each of them: only a head that names a key of ours is worth that.
bool may_be_ours(std::string_view head, const Provider& provider)
{
    constexpr std::size_t beginning = 60; // characters
    auto is_chunked = head.size() > 1 && head[1] == '.';
    if (!is_chunked) {
        return true;
    }
    if (head.size() < 2 + beginning) {
        return false;
    }
    auto start = base64url_decode(head.substr(2, beginning));
    return start && !provider.session_ring().is_foreign(*start);
}

// The cookies of one name. An attacker may have planted any number of them,
// before ours or after.
void open_all(std::vector<CookieContent>& opened, CookieLines cookies,
    const Provider& provider, const std::string& name, bool is_plain)
{
    constexpr std::size_t max_tried = 128 * 1024; // bytes of values
    constexpr std::size_t max_opened = 4;
    ChunkedCookie cookie(cookies, name);
    auto max_size = opened.size() + max_opened;
    std::size_t tried = 0;

    for (auto head : cookie.heads()) {
        auto value =
            may_be_ours(head, provider) ? cookie.join(head) : std::nullopt;
        tried += value ? value->size() : head.size();
        if (value) {
            auto content = CookieContent::from_value(*value, provider);
            content.is_plain = is_plain;
            if (content) {
                opened.push_back(std::move(content));
            }
        }
        if (tried >= max_tried || opened.size() >= max_size) {
            return;
        }
    }
}

}

std::vector<CookieContent> CookieContent::all_from(
    CookieLines cookies, const Provider& provider, const Site& site)
{
    const auto& safe = provider.session_cookie(Site(true, site.prefix));
    const auto& plain = provider.session_cookie(false);
    std::vector<CookieContent> opened;
    open_all(opened, cookies, provider, safe, false);
    if (!site.secure && plain != safe) {
        open_all(opened, cookies, provider, plain, true);
    }
    return opened;
}

CookieContent CookieContent::from_value(
    std::string_view value, const Provider& provider)
{
    auto sealed = base64url_decode(value);
    if (!sealed) {
        return {};
    }
    auto opened =
        provider.session_ring().open(*sealed, provider.session_seal_context());
    if (!opened) {
        return {};
    }
    if (auto ticket = Ticket::read(opened->plain)) {
        return {{}, std::move(ticket)};
    }
    return {
        OpenedSession::of(std::move(opened->plain), provider.client(), {}), {}};
}

std::optional<OpenedSession> open_stored(
    const Ticket& ticket, std::string_view blob, const Provider& provider)
{
    auto plain = ticket.open(blob, provider.session_seal_context());
    if (!plain) {
        return {};
    }
    return OpenedSession::of(std::move(*plain), provider.client(), ticket);
}

}
