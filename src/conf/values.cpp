#include "conf/values.h"

#include "core/encoding.h"
#include "core/text.h"

#include <algorithm>
#include <array>

namespace ngx {
namespace {

constexpr std::size_t max_bundle = 16 * 1024 * 1024;

ngx_str_t full_name(ngx_conf_t* cf, ngx_str_t name)
{
    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        throw std::bad_alloc();
    }
    return name;
}

bool is_readable_by_all(const ngx_file_info_t& info)
{
    return (info.st_mode & S_IROTH) != 0;
}

void warn_of_public(
    ngx_conf_t* cf, const char* directive, const ngx_str_t& path)
{
    ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
        "\"%s\" file %s is readable by all users, set its mode to 600",
        directive, oidc::quoted(view(path)).c_str());
}

struct FileName {
    std::string_view directive;
    std::string_view value; // as it is written
    ngx_str_t path;
    bool is_secret;
};

class File {
public:
    explicit File(const ngx_str_t& name) :
        fd_(ngx_open_file(name.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0)),
        failure_(is_open() ? 0 : ngx_errno)
    {
    }

    ~File()
    {
        if (is_open()) {
            ngx_close_file(fd_);
        }
    }

    File(const File&) = delete;
    File& operator=(const File&) = delete;

    bool is_open() const { return fd_ != NGX_INVALID_FILE; }

    // Of opening or reading it; 0: none.
    ngx_err_t failure() const { return failure_; }

    // What could be read.
    std::string content(std::size_t max_size)
    {
        std::string all;
        std::array<char, 4096> part;
        auto size = is_open() ? next(part) : 0;
        while (size > 0 && all.size() < max_size) {
            all.append(part.data(), static_cast<std::size_t>(size));
            size = next(part);
        }
        return all;
    }

    bool is_public() const
    {
        ngx_file_info_t info;
        return is_open() && ngx_fd_info(fd_, &info) != NGX_FILE_ERROR &&
            is_readable_by_all(info);
    }

private:
    ssize_t next(std::array<char, 4096>& part)
    {
        auto size = ngx_read_fd(fd_, part.data(), part.size());
        failure_ = size == NGX_FILE_ERROR ? ngx_errno : 0;
        return size;
    }

    ngx_fd_t fd_;
    ngx_err_t failure_;
};

bool exists(const std::string& path)
{
    ngx_file_info_t info;
    return ngx_file_info(path.c_str(), &info) != NGX_FILE_ERROR;
}

bool has_extension(std::string_view name)
{
    constexpr std::string_view extensions[] = {
        ".pem", ".key", ".jwk", ".json", ".txt"};
    return std::ranges::any_of(
        extensions, [&](auto extension) { return name.ends_with(extension); });
}

// A secret that was written in place of the name of its file must not be shown:
// names of files that do not exist are shown if their directory does.
bool may_be_secret(std::string_view value, const std::string& path)
{
    if (exists(path) || has_extension(value)) {
        return false;
    }
    auto directory = path.substr(0, path.rfind('/'));
    return value.find('/', 1) == value.npos || !exists(directory);
}

// "invalid" with the path, or without it.
[[noreturn]] void invalid_file(const FileName& name, const std::string& advice)
{
    auto path = text(name.path);
    if (name.value.find("-----BEGIN") == name.value.npos &&
        (!name.is_secret || !may_be_secret(name.value, path))) {
        invalid(name.directive, path, advice);
    }
    throw Invalid("invalid \"" + std::string(name.directive) + "\", " + advice +
        "; the name is not shown, because it may be the secret itself");
}

std::string described(ngx_err_t failure)
{
    std::array<u_char, NGX_MAX_ERROR_STR> text;
    auto end = ngx_strerror(failure, text.data(), text.size());
    return " (" + std::to_string(failure) + ": " +
        std::string(text.data(), end) + ")";
}

std::string content_of(File& file, const FileName& name, std::size_t max_size)
{
    auto content = file.content(max_size + 1);
    if (!file.is_open()) {
        invalid_file(
            name, "the file cannot be opened" + described(file.failure()));
    }
    if (file.failure() != 0) {
        invalid_file(
            name, "the file cannot be read" + described(file.failure()));
    }
    if (content.empty()) {
        invalid_file(name, "the file is empty");
    }
    if (content.size() > max_size) {
        invalid_file(name,
            "the file is larger than " + std::to_string(max_size / 1024) + "k");
    }
    return content;
}

}

void invalid(
    std::string_view directive, std::string_view value, std::string_view advice)
{
    std::string sentence = "invalid \"";
    sentence.append(directive).append("\" ");
    throw Invalid(sentence + oidc::quoted(value) + ", " + std::string(advice));
}

ngx_http_complex_value_t* compile(ngx_conf_t* cf, std::string_view value)
{
    auto text = copy(cf->pool, value);
    auto compiled = allocate<ngx_http_complex_value_t>(cf->pool);
    ngx_http_compile_complex_value_t compile{};
    compile.cf = cf;
    compile.value = &text;
    compile.complex_value = compiled;
    if (ngx_http_compile_complex_value(&compile) != NGX_OK) {
        throw Invalid("invalid value " + oidc::quoted(value));
    }
    return compiled;
}

std::string suggestion(
    std::string_view text, const std::vector<std::string_view>& names)
{
    auto name = oidc::nearest(text, names);
    return name.empty() ? "" : ", the nearest is " + oidc::quoted(name);
}

std::string read_file(ngx_conf_t* cf, const char* directive,
    const ngx_str_t& name, std::size_t max_size)
{
    auto path = full_name(cf, name);
    File file(path);
    return content_of(file, {directive, view(name), path, false}, max_size);
}

std::string read_secret(ngx_conf_t* cf, const char* directive,
    const ngx_str_t& name, Readers readers)
{
    auto path = full_name(cf, name);
    File file(path);
    auto content =
        content_of(file, {directive, view(name), path, true}, max_file);
    if (readers == Readers::warned_of && file.is_public()) {
        warn_of_public(cf, directive, path);
    }
    return content;
}

void check_pem(ngx_conf_t* cf, const char* directive, const ngx_str_t& file,
    const std::string& label)
{
    if (file.len > 0 &&
        read_file(cf, directive, file, max_bundle)
                .find("-----BEGIN " + label) == std::string::npos) {
        invalid(directive, view(file),
            "it contains no " + label + " in PEM format");
    }
}

}
