#include "conf/rows.h"

#include <algorithm>
#include <sstream>

namespace ngx {
Position position(const ngx_conf_t* cf)
{
    return {cf->conf_file->file.name, cf->conf_file->line};
}

const Position* Positions::find(const void* member) const
{
    auto found = std::ranges::find(list_, member, &Written::member);
    return found != list_.end() ? &found->position : nullptr;
}

char* good()
{
    return static_cast<char*>(NGX_CONF_OK);
}

char* fail()
{
    return static_cast<char*>(NGX_CONF_ERROR);
}

DefaultArguments::DefaultArguments(
    ngx_conf_t* cf, const char* name, const char* value) :
    cf_(cf),
    outer_(cf->args)
{
    words_.push_back(copy(cf->pool, name));
    std::istringstream list(value);
    for (std::string word; list >> word;) {
        words_.push_back(copy(cf->pool, word));
    }
    arguments_ = {words_.data(), words_.size(), sizeof(ngx_str_t),
        words_.size(), cf->pool};
    cf->args = &arguments_;
}

bool takes(ngx_uint_t arguments, ngx_uint_t count)
{
    return arguments == NGX_CONF_1MORE ? count >= 1 : count == 1;
}

char* report(const char* directive, char* rv)
{
    if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
        return rv;
    }
    throw Invalid(std::string("\"") + directive + "\" directive " + rv);
}

}
