// How the time of an operation grows with its input, on a machine of any speed.
#pragma once

#include <algorithm>
#include <ctime>
#include <limits>

namespace oidc::test {

// The processor time of `work(8 * size)` divided by that of `work(size)`: about
// 8 where it grows linearly, 64 where it grows with the square. The fastest of
// three runs counts; `size` should take a millisecond or more.
template <class Work>
double growth(int size, Work work)
{
    auto fastest = [&](int size) {
        auto best = std::numeric_limits<double>::max();
        for (int i = 0; i < 3; i++) {
            auto start = std::clock();
            work(size);
            best = std::min(best, static_cast<double>(std::clock() - start));
        }
        return std::max(best, 1.0);
    };
    auto small = fastest(size);
    return fastest(8 * size) / small;
}

constexpr double linear = 24;

}
