// Replays all seeds: replay DIRECTORY, with a subdirectory for each target; or
// one file: replay TARGET FILE.

#include "../fuzz.h"

#include <sanitizer/common_interface_defs.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

namespace {

using oidc::test::Run;
using oidc::test::Target;

std::string current; // input, for the death of a sanitized run
int inputs = 0;
int findings = 0;

void replay(Run run, const std::filesystem::path& file)
{
    std::ifstream in(file, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(in), {});
    // Without a terminator: an overread must be detected.
    auto bytes = std::make_unique<char[]>(text.size());
    std::memcpy(bytes.get(), text.data(), text.size());

    current = file;
    inputs++;
    try {
        run({bytes.get(), text.size()});
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "%s: %s\n", file.c_str(), failure.what());
        findings++;
    }
}

void replay_all(Run run, const std::filesystem::path& directory)
{
    auto before = inputs;
    if (std::filesystem::is_directory(directory)) {
        for (const auto& entry :
            std::filesystem::directory_iterator(directory)) {
            replay(run, entry.path());
        }
    }
    if (inputs == before) {
        std::fprintf(stderr, "%s holds no seed\n", directory.c_str());
        findings++;
    }
}

}

int main(int argc, char** argv)
{
    __sanitizer_set_death_callback(
        [] { std::fprintf(stderr, "input: %s\n", current.c_str()); });

    if (argc == 3 && Target::all().count(argv[1])) {
        replay(Target::all()[argv[1]], argv[2]);
    } else if (argc == 2) {
        for (const auto& [name, run] : Target::all()) {
            replay_all(run, std::filesystem::path(argv[1]) / name);
        }
        std::printf("replay: %zu targets, %d seeds, %d findings\n",
            Target::all().size(), inputs, findings);
    } else {
        std::fputs("usage: replay DIRECTORY | replay TARGET FILE\n", stderr);
        return 2;
    }
    return findings == 0 ? 0 : 1;
}
