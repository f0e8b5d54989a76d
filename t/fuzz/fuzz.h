// What the targets share. A target gets bytes from outside, gives them to the
// code that reads such bytes, and demands that what comes of it is as promised.
// libFuzzer makes up inputs (entry/libfuzzer.cpp); with any compiler the seeds
// are replayed (entry/replay.cpp).
#pragma once

#include "core/result.h"
#include "oidc/provider.h"

#include <map>
#include <string>
#include <string_view>

namespace oidc::test {

using Run = void (*)(std::string_view input);

// Its seeds are in seeds/NAME.
class Target {
public:
    Target(const char* name, Run run) { all()[name] = run; }

    static std::map<std::string, Run>& all();
};

#define FUZZ(name)                                                             \
    static void fuzz_##name(std::string_view input);                           \
    static const Target target_##name(#name, fuzz_##name);                     \
    static void fuzz_##name(std::string_view input)

// Throws what nobody catches: this input is a finding.
void demand(bool holds, const char* what);

// Takes the first line off the input. Inputs of several parts are lines, so
// that seeds can be read and written.
std::string_view take_line(std::string_view& input);

// Without the control characters of ASCII.
bool is_clean(std::string_view text);

// Of 0x20 to 0x7e alone.
bool is_printable(std::string_view text);

// The same bytes every time, so that an input has the same result every time.
std::string fixed_bytes(std::size_t size);

// The unit tests' client, with one key of 32 times 1.
const Provider& example_provider();

// True for a success. A failure must have a sentence that is fit for a log.
template <class T>
bool succeeds(const Result<T>& result)
{
    demand(result || is_printable(result.error().detail),
        "a failure's sentence is printable");
    return static_cast<bool>(result);
}

}
