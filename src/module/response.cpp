#include "module/response.h"

#include "oidc/errors.h"
#include "oidc/head.h"

namespace ngx {
namespace {

constexpr std::string_view retry_after = "5"; // seconds

void add_header(
    ngx_http_request_t* r, std::string_view name, std::string_view value)
{
    auto header =
        static_cast<ngx_table_elt_t*>(ngx_list_push(&r->headers_out.headers));
    if (header == nullptr) {
        throw std::bad_alloc();
    }
    ngx_memzero(header, sizeof(*header));
    header->hash = 1;
    header->key = copy(r->pool, name);
    header->value = copy(r->pool, value);
    header->lowcase_key = header->key.data;
}

void add_answer_headers(ngx_http_request_t* r)
{
    add_header(r, "Cache-Control", "no-store");
    add_header(r, "Referrer-Policy", "no-referrer");

    // auth_basic under "satisfy any" may have requested a password before us.
    if (r->headers_out.www_authenticate != nullptr) {
        r->headers_out.www_authenticate->hash = 0;
    }
}

void add_set_cookies(ngx_http_request_t* r, std::string_view location,
    std::vector<std::string> cookies)
{
    oidc::fit_deletions(location, cookies);
    for (const auto& cookie : cookies) {
        add_header(r, "Set-Cookie", cookie);
    }
}

ngx_int_t send_page(
    ngx_http_request_t* r, ngx_uint_t status, std::string_view page)
{
    static ngx_str_t type = ngx_string("text/html");
    ngx_http_complex_value_t body{};
    body.value = copy(r->pool, page);

    auto rc = ngx_http_discard_request_body(r);
    if (rc == NGX_OK) {
        rc = ngx_http_send_response(r, status, &type, &body);
    }
    ngx_http_finalize_request(r, rc);
    return NGX_DONE;
}

std::string in_attribute(std::string_view text)
{
    auto data = reinterpret_cast<u_char*>(const_cast<char*>(text.data()));
    std::string escaped(
        text.size() + ngx_escape_html(nullptr, data, text.size()), '\0');
    ngx_escape_html(
        reinterpret_cast<u_char*>(escaped.data()), data, text.size());
    return escaped;
}

// Not by headers_out.location, which nginx makes absolute with a scheme and
// port that may not be the browser's. RFC 9700, 4.12: 303, so that a form is
// not posted again.
ngx_int_t redirect(
    ngx_http_request_t* r, std::string_view location, bool from_form)
{
    add_header(r, "Location", location);
    return from_form ? NGX_HTTP_SEE_OTHER : NGX_HTTP_MOVED_TEMPORARILY;
}

constexpr std::string_view logged_in_page =
    "<!DOCTYPE html><title>Logged in</title>\n";

// The browser follows the link by itself.
constexpr std::string_view logging_out_page[] = {
    "<!DOCTYPE html>\n"
    "<html lang=\"en\"><meta name=\"viewport\" content=\"width=device-width\">"
    "<title>Logging out</title>\n"
    "<h1>You are logged out of this site</h1>\n"
    "<p><a href=\"",
    "\">Also log out at the identity provider</a>\n"
    "</html>\n"};

constexpr std::string_view logged_out_page =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\"><meta name=\"viewport\" content=\"width=device-width\">"
    "<title>You are logged out</title>\n"
    "<h1>You are logged out</h1>\n"
    "</html>\n";

// The link leads to the logout path again: without a session it redirects to
// the provider.
constexpr std::string_view logged_out_here_page =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\"><meta name=\"viewport\" content=\"width=device-width\">"
    "<title>You are logged out in this browser</title>\n"
    "<h1>You are logged out in this browser</h1>\n"
    "<p>This site could not record the logout. Copies of your session "
    "elsewhere, if any, may remain valid until they expire.\n"
    "<p><a href=\"?\">Also log out at the identity provider</a>\n"
    "</html>\n";

constexpr std::string_view done_page = "<!DOCTYPE html><title>Done</title>\n";

// The form is posted to the URL of this page.
constexpr std::string_view confirm_page[] = {
    "<!DOCTYPE html>\n"
    "<html lang=\"en\"><meta name=\"viewport\" content=\"width=device-width\">"
    "<title>Log out?</title>\n"
    "<h1>Do you want to log out?</h1>\n"
    "<p>Another site sent you here.\n"
    "<form method=\"post\"><input type=\"hidden\" name=\"confirm\" value=\"",
    "\"><button>Log out</button></form>\n"
    "</html>\n"};

constexpr std::string_view loop_page =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\"><meta name=\"viewport\" content=\"width=device-width\">"
    "<title>The login keeps repeating</title>\n"
    "<h1>The login keeps repeating</h1>\n"
    "<p>You have logged in several times, but your browser did not send the "
    "session cookie, so this site asked you to log in again.\n"
    "<p>Your browser may block cookies of this site or store too many of them. "
    "Allow or delete them, and load the page again in half a minute. If this "
    "does not help, contact the operator of this site.\n"
    "</html>\n";

bool is_for_later(ngx_int_t status)
{
    return status == NGX_HTTP_TOO_MANY_REQUESTS ||
        (status >= NGX_HTTP_BAD_GATEWAY && status <= NGX_HTTP_GATEWAY_TIME_OUT);
}

// The operator's own page comes first.
bool has_error_page(ngx_http_request_t* r, ngx_int_t status)
{
    auto clcf = &conf_of<ngx_http_core_loc_conf_t>(r);
    auto pages = clcf->error_pages;
    for (ngx_uint_t i = 0; pages != nullptr && i < pages->nelts; i++) {
        if (static_cast<ngx_http_err_page_t*>(pages->elts)[i].status ==
            status) {
            return true;
        }
    }
    return false;
}

}

void add_cookies(ngx_http_request_t* r, std::vector<std::string> cookies)
{
    if (!cookies.empty()) {
        add_header(r, "Cache-Control", "no-store");
    }
    add_set_cookies(r, "", std::move(cookies));
}

ngx_int_t answer(
    ngx_http_request_t* r, const oidc::Finish& finish, bool from_form)
{
    using oidc::Page;

    add_answer_headers(r);
    add_set_cookies(r, finish.location, finish.cookies);
    switch (finish.page) {
    case Page::logged_in:
        add_header(r, "Refresh", "0; url=" + finish.location);
        return send_page(r, NGX_HTTP_OK, logged_in_page);
    case Page::logging_out:
        add_header(r, "Refresh", "0; url=" + finish.location);
        return send_page(r, NGX_HTTP_OK,
            std::string(logging_out_page[0]) + in_attribute(finish.location) +
                std::string(logging_out_page[1]));
    case Page::logged_out:
        return send_page(r, NGX_HTTP_OK, logged_out_page);
    case Page::logged_out_here: // goes with an error alone
        return send_page(r, NGX_HTTP_OK, logged_out_here_page);
    case Page::confirm_logout:
        add_header(r, "Content-Security-Policy", "frame-ancestors 'none'");
        return send_page(r, NGX_HTTP_OK,
            std::string(confirm_page[0]) + finish.confirmation +
                std::string(confirm_page[1]));
    case Page::done:
        return send_page(r, NGX_HTTP_OK, done_page);
    case Page::none:
        break;
    }
    return redirect(r, finish.location, from_form);
}

ngx_int_t refuse(
    ngx_http_request_t* r, const oidc::Finish& end, ngx_int_t status)
{
    auto code = end.error->code;

    add_answer_headers(r);
    add_set_cookies(r, "", end.cookies);
    if (is_for_later(status)) {
        add_header(r, "Retry-After", retry_after);
    }
    if (has_error_page(r, status)) {
        return status;
    }
    if (code == oidc::Errc::login_loop) {
        return send_page(r, static_cast<ngx_uint_t>(status), loop_page);
    }
    if (end.page == oidc::Page::logged_out_here) {
        return send_page(
            r, static_cast<ngx_uint_t>(status), logged_out_here_page);
    }
    return status;
}

}
