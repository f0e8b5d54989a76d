#include "ngx/values.h"

#include "core/encode.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace ngx {
namespace {

constexpr std::size_t longest_bundle = 16 * 1024 * 1024;

}

void invalid(
    std::string_view directive, std::string_view value, std::string_view advice)
{
    std::string sentence = "invalid \"";
    sentence.append(directive).append("\" ");
    throw Invalid(sentence + oidc::quoted(value) + ", " + std::string(advice));
}

std::string text_or(const ngx_str_t& value, const char* otherwise)
{
    return value.len > 0 ? text(value) : otherwise;
}

std::vector<std::string> words(const ngx_array_t* array)
{
    std::vector<std::string> list;
    for (ngx_uint_t i = 0; array != nullptr && i < array->nelts; i++) {
        list.push_back(text(static_cast<ngx_str_t*>(array->elts)[i]));
    }
    return list;
}

std::string read_file(
    ngx_conf_t* cf, const char* directive, ngx_str_t name, std::size_t longest)
{
    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        throw std::bad_alloc();
    }
    std::ifstream file(text(name), std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    if (!file.is_open() || content.str().empty()) {
        invalid(directive, view(name), "it must be a file that can be read");
    }
    if (content.str().size() > longest) {
        invalid(directive, view(name),
            "the file is larger than " + std::to_string(longest / 1024) + "k");
    }
    return content.str();
}

void check_pem(ngx_conf_t* cf, const char* directive, const ngx_str_t& file,
    const std::string& label)
{
    if (file.len > 0 &&
        read_file(cf, directive, file, longest_bundle)
                .find("-----BEGIN " + label) == std::string::npos) {
        invalid(directive, view(file), "it holds no " + label + " in PEM");
    }
}

bool is_safe(const oidc::Url& url)
{
    return url.secure() || oidc::is_loopback(url.host);
}

bool is_token(std::string_view text)
{
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return c > 0x20 && c < 0x7f &&
            std::string_view("()<>@,;:\\\"/[]?={}").find(c) ==
            std::string_view::npos;
    });
}

bool is_printable(std::string_view text)
{
    return std::all_of(
        text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool is_plain_path(std::string_view path)
{
    if (path.find_first_of("%;") != path.npos || path.find("//") != path.npos) {
        return false;
    }
    for (std::string_view dots : {"/./", "/../"}) {
        if ((std::string(path) + "/").find(dots) != std::string::npos) {
            return false;
        }
    }
    return true;
}

std::string check_endpoint(const char* directive, const ngx_str_t& value)
{
    auto url = oidc::parse_url(view(value));
    if (value.len > 0 && (!url || !is_safe(*url))) {
        invalid(directive, view(value),
            "it must be an https URL, or http on a loopback host");
    }
    return text(value);
}

}
