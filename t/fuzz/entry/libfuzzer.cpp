// One binary for all targets: the variable TARGET names the one to run.

#include "../fuzz.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

oidc::test::Run run;

}

extern "C" int LLVMFuzzerInitialize(int*, char***)
{
    auto name = std::getenv("TARGET");
    auto found = oidc::test::Target::all().find(name ? name : "");
    if (found == oidc::test::Target::all().end()) {
        std::fputs("TARGET names none of:", stderr);
        for (const auto& [known, unused] : oidc::test::Target::all()) {
            std::fprintf(stderr, " %s", known.c_str());
        }
        std::fputs("\n", stderr);
        std::exit(2);
    }
    run = found->second;
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(
    const std::uint8_t* bytes, std::size_t size)
{
    run({reinterpret_cast<const char*>(bytes), size});
    return 0;
}
