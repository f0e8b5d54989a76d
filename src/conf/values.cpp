#include "conf/values.h"

#include "core/encoding.h"

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

class File {
public:
    explicit File(const ngx_str_t& name) :
        fd_(ngx_open_file(name.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0))
    {
    }

    ~File()
    {
        if (fd_ != NGX_INVALID_FILE) {
            ngx_close_file(fd_);
        }
    }

    File(const File&) = delete;
    File& operator=(const File&) = delete;

    // Empty if it cannot be read.
    std::string content(std::size_t max_size) const
    {
        std::string all;
        std::array<char, 4096> part;
        auto size = fd_ != NGX_INVALID_FILE ? next(part) : 0;
        while (size > 0 && all.size() < max_size) {
            all.append(part.data(), static_cast<std::size_t>(size));
            size = next(part);
        }
        return all;
    }

    bool is_public() const
    {
        ngx_file_info_t info;
        return fd_ != NGX_INVALID_FILE &&
            ngx_fd_info(fd_, &info) != NGX_FILE_ERROR &&
            is_readable_by_all(info);
    }

private:
    ssize_t next(std::array<char, 4096>& part) const
    {
        return ngx_read_fd(fd_, part.data(), part.size());
    }

    ngx_fd_t fd_;
};

std::string content_of(const File& file, const char* directive,
    const ngx_str_t& path, std::size_t max_size)
{
    auto content = file.content(max_size + 1);
    if (content.empty()) {
        invalid(directive, view(path),
            "it must be a readable file that is not empty");
    }
    if (content.size() > max_size) {
        invalid(directive, view(path),
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

std::string read_file(ngx_conf_t* cf, const char* directive,
    const ngx_str_t& name, std::size_t max_size)
{
    auto path = full_name(cf, name);
    return content_of(File(path), directive, path, max_size);
}

std::string read_secret(ngx_conf_t* cf, const char* directive,
    const ngx_str_t& name, Readers readers)
{
    auto path = full_name(cf, name);
    File file(path);
    auto content = content_of(file, directive, path, max_file);
    if (readers == Readers::warned_of && file.is_public()) {
        warn_of_public(cf, directive, path);
    }
    return content;
}

void warn_of_readers(
    ngx_conf_t* cf, const char* directive, const ngx_str_t& name)
{
    auto path = full_name(cf, name);
    ngx_file_info_t info;
    if (ngx_file_info(path.data, &info) != NGX_FILE_ERROR &&
        is_readable_by_all(info)) {
        warn_of_public(cf, directive, path);
    }
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
