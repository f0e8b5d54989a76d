// Shared by all targets. A target passes external bytes to the code that reads
// them, and demands that the result is as promised. libFuzzer generates inputs
// (entry/libfuzzer.cpp); with any compiler the seeds are replayed
// (entry/replay.cpp).
#pragma once

#include "core/result.h"
#include "oidc/errors.h"
#include "oidc/provider.h"

#include <map>
#include <string>
#include <string_view>

namespace oidc::test {

using Run = void (*)(std::string_view input);

// The seeds of a target are in seeds/NAME.
class Target {
public:
    Target(const char* name, Run run) { all()[name] = run; }

    static std::map<std::string, Run>& all();
};

#define FUZZ(name)                                                             \
    static void fuzz_##name(std::string_view input);                           \
    static const Target target_##name(#name, fuzz_##name);                     \
    static void fuzz_##name(std::string_view input)

// Throws an exception that is not caught: the input is a finding.
void demand(bool holds, const char* what);

// Removes and returns the first line of the input. Inputs of several parts
// consist of lines, so that seeds are readable and editable.
std::string_view take_line(std::string_view& input);

// True without ASCII control characters.
bool is_clean(std::string_view text);

// True if all characters are 0x20 to 0x7e.
bool is_printable(std::string_view text);

// Always the same bytes, so that an input always has the same result.
std::string fixed_bytes(std::size_t size);

// The unit tests' client, with a key of 32 bytes 0x01.
const Provider& example_provider();

// True for a success. A failure must have a detail that is fit for a log.
template <class T>
bool succeeds(const Result<T>& result)
{
    demand(result || is_printable(result.error().detail),
        "a failure's sentence is printable");
    return static_cast<bool>(result);
}

}
