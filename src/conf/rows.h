// The row of a directive: its name, its default, and its type, which says how
// the arguments are read, which member of a record they set, and what checks a
// value. Whether a directive is written, its default and its inheritance follow
// from the row.
#pragma once

#include "conf/values.h"
#include "core/crypto.h"
#include "ngx/ngx.h"

#include <concepts>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ngx {

// Where a directive is written.
struct Position {
    ngx_str_t file = ngx_null_string;
    ngx_uint_t line = 0;
};

Position position(const ngx_conf_t* cf);

// Which members of a record a directive has set, and where it is written.
class Positions {
public:
    struct Written {
        const void* member;
        const char* name; // of the directive
        Position position;
    };

    // Null for a member that no directive has set.
    const Position* find(const void* member) const;
    bool has(const void* member) const { return find(member) != nullptr; }

    void add(Written written) { list_.push_back(written); }
    std::span<const Written> all() const { return list_; }

private:
    std::vector<Written> list_;
};

// What a directive is set to where it is not written.
struct Default {
    enum class Kind { none, value, derived, required };

    constexpr Default(const char* value) : kind(Kind::value), text(value) {}
    constexpr Default(Kind kind, const char* text) : kind(kind), text(text) {}

    Kind kind;
    const char* text;
};

// The member keeps its initializer.
constexpr Default none{Default::Kind::none, ""};

// So says the documentation; the value is computed after the block is read.
constexpr Default derived(const char* documented)
{
    return {Default::Kind::derived, documented};
}

// There is none: the block is refused with this advice.
constexpr Default required(const char* advice)
{
    return {Default::Kind::required, advice};
}

template <class Record>
struct Type {
    ngx_uint_t arguments; // NGX_CONF_TAKE1 or NGX_CONF_1MORE
    bool is_string;       // then an empty argument means the default
    bool repeats;         // several directives of a level add to the member
    char* (*read)(ngx_conf_t* cf, Record& record);
    const void* (*member)(Record& record);
    void (*inherit)(Record& record, Record& outer);
};

template <class Record>
struct Row {
    const char* name;
    Default otherwise;
    Type<Record> type;
};

// The member of a record. Overloaded for a record whose rows also set members
// of an object in it.
template <class Record, class Owner, class T>
requires std::derived_from<Record, Owner> T& at(
    Record& record, T Owner::*member)
{
    return record.*member;
}

// A check of one value throws Invalid. Strings are checked as views, lists word
// by word, and complex values if they have no variables.
template <class Check, class T>
void apply(Check check, std::string_view directive, const T& value)
{
    check(directive, value);
}

template <class Check>
void apply(Check check, std::string_view directive, const ngx_str_t& value)
{
    check(directive, view(value));
}

template <class Check>
void apply(Check check, std::string_view directive, const oidc::Secret& value)
{
    check(directive, value.reveal());
}

template <class Check>
void apply(Check check, std::string_view directive,
    const std::vector<std::string>& values)
{
    for (const auto& value : values) {
        check(directive, value);
    }
}

template <class Check>
void apply(Check check, std::string_view directive,
    ngx_http_complex_value_t* const& value)
{
    if (value->lengths == nullptr) {
        check(directive, view(value->value));
    }
}

inline const ngx_str_t& argument(const ngx_conf_t* cf, ngx_uint_t index)
{
    return static_cast<const ngx_str_t*>(cf->args->elts)[index];
}

// The arguments that a default stands for, in cf->args while this lives.
class DefaultArguments {
public:
    DefaultArguments(ngx_conf_t* cf, const char* name, const char* value);
    ~DefaultArguments() { cf_->args = outer_; }

    DefaultArguments(const DefaultArguments&) = delete;
    DefaultArguments& operator=(const DefaultArguments&) = delete;

private:
    ngx_conf_t* cf_;
    ngx_array_t* outer_;
    std::vector<ngx_str_t> words_;
    ngx_array_t arguments_;
};

char* good();
char* fail();

// Calls what nginx calls while it reads the configuration: says what is
// invalid, and lets no exception through.
template <class Call>
char* configure(ngx_conf_t* cf, Call call)
{
    return guard(cf, fail(), [&] {
        try {
            return call();
        } catch (const Invalid& invalid) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", invalid.what());
            return fail();
        }
    });
}

// Sets the member of a directive that is written.
template <class Record>
char* set(ngx_conf_t* cf, const Row<Record>& row, Record& record)
{
    auto member = row.type.member(record);
    if (record.positions.has(member) && !row.type.repeats) {
        return const_cast<char*>("is duplicate");
    }
    if (row.type.is_string && argument(cf, 1).len == 0 &&
        row.otherwise.kind != Default::Kind::none) {
        return good();
    }
    record.positions.add({member, row.name, position(cf)});
    return row.type.read(cf, record);
}

// The same as a setter of nginx, in the memory of a command's `post`.
template <class Record>
char* set_row(ngx_conf_t* cf, ngx_command_t* command, void* record)
{
    return configure(cf, [&] {
        return set(cf, *static_cast<const Row<Record>*>(command->post),
            *static_cast<Record*>(record));
    });
}

template <class Record>
void set_default(ngx_conf_t* cf, const Row<Record>& row, Record& record)
{
    if (row.otherwise.kind == Default::Kind::value) {
        DefaultArguments arguments(cf, row.name, row.otherwise.text);
        if (row.type.read(cf, record) != NGX_CONF_OK) {
            throw Invalid(std::string("invalid default of ") + row.name);
        }
    }
}

template <class Record>
void set_defaults(
    ngx_conf_t* cf, std::span<const Row<Record>> rows, Record& record)
{
    for (const auto& row : rows) {
        if (!record.positions.has(row.type.member(record))) {
            set_default(cf, row, record);
        }
    }
}

// As nginx's merge functions: the value of the enclosing level, or the default.
template <class Record>
void merge(ngx_conf_t* cf, std::span<const Row<Record>> rows, Record& outer,
    Record& record)
{
    for (const auto& row : rows) {
        auto member = row.type.member(record);
        auto outer_member = row.type.member(outer);
        if (record.positions.has(member)) {
            continue;
        }
        if (!outer.positions.has(outer_member)) {
            set_default(cf, row, outer);
            outer.positions.add({outer_member, row.name, Position()});
        }
        row.type.inherit(record, outer);
        record.positions.add(
            {member, row.name, *outer.positions.find(outer_member)});
    }
}

// A block of directives, which nginx's parser does not know.
template <class Record>
struct Block {
    const char* name; // of the directive that begins it
    std::span<const Row<Record>> rows;
    Record& record;
};

// nginx checks the number of arguments only of directives it looks up itself.
bool takes(ngx_uint_t arguments, ngx_uint_t count);

// What nginx does with the value that a setter returns.
char* report(const char* directive, char* rv);

template <class Record>
const Row<Record>& find_row(const Block<Record>& block, std::string_view name)
{
    for (const auto& row : block.rows) {
        if (row.name == name) {
            return row;
        }
    }
    std::vector<std::string_view> names;
    for (const auto& row : block.rows) {
        names.emplace_back(row.name);
    }
    throw Invalid("unknown directive \"" + std::string(name) + "\" in \"" +
        block.name + "\"" + suggestion(name, names));
}

template <class Record>
char* set_in_block(ngx_conf_t* cf, ngx_command_t* dummy, void* conf)
{
    const auto& block = *reinterpret_cast<Block<Record>*>(cf->handler_conf);
    auto name = view(argument(cf, 0));
    if (name == "include") {
        return ngx_conf_include(cf, dummy, conf);
    }
    return configure(cf, [&] {
        const auto& row = find_row(block, name);
        if (!takes(row.type.arguments, cf->args->nelts - 1)) {
            throw Invalid("invalid number of arguments in \"" +
                std::string(name) + "\" directive");
        }
        return report(row.name, set(cf, row, block.record));
    });
}

template <class Record>
void refuse_missing(const Block<Record>& block)
{
    for (const auto& row : block.rows) {
        if (row.otherwise.kind == Default::Kind::required &&
            !block.record.positions.has(row.type.member(block.record))) {
            throw Invalid(std::string(block.name) + " \"" + block.record.name +
                "\" has no \"" + row.name + "\", " + row.otherwise.text);
        }
    }
}

// Reads the block into its record; then every row has set its member.
template <class Record>
char* read_block(ngx_conf_t* cf, Block<Record> block)
{
    auto outer = *cf;
    cf->handler = set_in_block<Record>;
    cf->handler_conf = reinterpret_cast<char*>(&block);
    auto rv = ngx_conf_parse(cf, nullptr);
    *cf = outer;
    if (rv == NGX_CONF_OK) {
        refuse_missing(block);
        set_defaults(cf, block.rows, block.record);
    }
    return rv;
}

}
