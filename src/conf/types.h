// The types of directives. Each reads the arguments in cf->args, whose first
// one is the name of the directive, and returns what nginx's setters return.
#pragma once

#include "conf/limit.h"
#include "conf/requirement.h"
#include "conf/rows.h"
#include "core/crypto.h"
#include "core/time.h"

#include <concepts>
#include <optional>
#include <string>
#include <vector>

namespace ngx {

// Without variables. A "$" in a secret stands for itself, with a warning.
struct ReadString {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, ngx_str_t& value);
    static char* read(ngx_conf_t* cf, std::string& value);
    static char* read(ngx_conf_t* cf, oidc::Secret& value);
};

struct ReadPassword {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, ngx_str_t& value);
};

// As it is written: which sizes are valid depends on other directives.
struct ReadSize {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, ngx_str_t& value);
};

struct ReadWords {
    static constexpr ngx_uint_t arguments = NGX_CONF_1MORE;
    static char* read(ngx_conf_t* cf, std::vector<std::string>& value);
};

struct ReadFlag {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, bool& value);
};

struct ReadNumber {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, ngx_uint_t& value);
};

struct ReadSeconds {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, Seconds& value);
};

struct ReadMilliseconds {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, ngx_msec_t& value);
};

struct ReadComplex {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, ngx_http_complex_value_t*& value);
};

// One of some words, each of which stands for a value.
template <class T>
struct Word {
    const char* name;
    T value;
};

char* refuse_word(ngx_conf_t* cf, const std::vector<std::string_view>& words);
bool is_word(const ngx_str_t& argument, std::string_view word);

template <const auto& words>
struct ReadChoice {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;

    template <class T>
    static char* read(ngx_conf_t* cf, T& value)
    {
        std::vector<std::string_view> names;
        for (const auto& word : words) {
            if (is_word(argument(cf, 1), word.name)) {
                value = word.value;
                return NGX_CONF_OK;
            }
            names.emplace_back(word.name);
        }
        return refuse_word(cf, names);
    }
};

// Scopes, joined; "openid" is always one of them.
struct ReadScope {
    static constexpr ngx_uint_t arguments = NGX_CONF_1MORE;
    static char* read(ngx_conf_t* cf, std::string& value);
};

// Seconds, or "off", which is 0.
struct ReadMaxLifetime {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, std::optional<Seconds>& value);
};

// Seconds, "off", which is 0, or "auto", which is no value.
struct ReadTokenRefresh {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, std::optional<Seconds>& value);
};

// The name of a claim in lower case, as sessions keep it, or "off".
struct ReadClaim {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, std::string& value);
};

struct ReadZoneSize {
    static constexpr ngx_uint_t arguments = NGX_CONF_TAKE1;
    static char* read(ngx_conf_t* cf, std::size_t& value);
};

// A type that reads in one of these ways into a member. It becomes a Type of
// the record that the member belongs to.
template <class How, auto member, auto... checks>
struct Reads {
    template <class Record>
    static char* read(ngx_conf_t* cf, Record& record)
    {
        auto& value = at(record, member);
        auto rv = How::read(cf, value);
        if (rv == NGX_CONF_OK) {
            (apply(checks, view(argument(cf, 0)), value), ...);
        }
        return rv;
    }

    template <class Record>
    static const void* address(Record& record)
    {
        return &at(record, member);
    }

    template <class Record>
    static void inherit(Record& record, Record& outer)
    {
        at(record, member) = at(outer, member);
    }

    template <class Record>
    constexpr operator Type<Record>() const
    {
        return {How::arguments, std::same_as<How, ReadString>,
            std::same_as<How, ReadRequirement>, read<Record>, address<Record>,
            inherit<Record>};
    }
};

template <auto member, auto... checks>
constexpr Reads<ReadString, member, checks...> string;

template <auto member>
constexpr Reads<ReadPassword, member> password;

template <auto member>
constexpr Reads<ReadSize, member> size;

template <auto member, auto... checks>
constexpr Reads<ReadWords, member, checks...> words;

template <auto member>
constexpr Reads<ReadFlag, member> flag;

template <auto member, auto... checks>
constexpr Reads<ReadNumber, member, checks...> number;

template <auto member, auto... checks>
constexpr Reads<ReadSeconds, member, checks...> seconds;

template <auto member, auto... checks>
constexpr Reads<ReadMilliseconds, member, checks...> milliseconds;

template <auto member, auto... checks>
constexpr Reads<ReadComplex, member, checks...> complex;

template <auto member, const auto& list>
constexpr Reads<ReadChoice<list>, member> choice;

template <auto member>
constexpr Reads<ReadScope, member> scope;

template <auto member, auto... checks>
constexpr Reads<ReadMaxLifetime, member, checks...> max_lifetime;

template <auto member>
constexpr Reads<ReadTokenRefresh, member> token_refresh;

template <auto member>
constexpr Reads<ReadClaim, member> claim;

template <auto member>
constexpr Reads<ReadZoneSize, member> zone_size;

template <auto member>
constexpr Reads<ReadLimit, member> limit;

template <auto member>
constexpr Reads<ReadRequirement, member> requirements;

}
