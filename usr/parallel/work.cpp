#include "usr/parallel/work.hpp"

#include <new>

#include "lib/os/math.hpp"
#include "lib/os/span/span.hpp"

namespace parallel {
namespace {

// Globals are the same on all cores.
constexpr size_t numbers = 100'000, side = 64, sieve_end = 60'000;
constinit std::array<uint32_t, numbers> values{};
constinit std::array<std::array<double, side>, side> left{}, right{}, result{};

} // namespace

bool sum() {
    os::parallel_for(0, numbers, 1000, [](uint64_t i) { values[i] = static_cast<uint32_t>(i); });
    std::atomic<uint64_t> total{};
    os::parallel_for(0, numbers / 1000, 1, [&](uint64_t block) {
        uint64_t part = 0;
        for (size_t i = 0; i < 1000; ++i)
            part += values[block * 1000 + i];
        // relaxed: parallel_for ends by joins, which publish it
        total.fetch_add(part, std::memory_order_relaxed);
    });
    return total.load() == uint64_t{numbers} * (numbers - 1) / 2;
}

bool product() {
    for (size_t i = 0; i < side; ++i)
        for (size_t j = 0; j < side; ++j) {
            left[i][j] = static_cast<double>(i + j);
            right[i][j] = i == j ? 2.0 : 0.0;
        }
    os::parallel_for(0, side, 2, [](uint64_t i) {
        for (size_t j = 0; j < side; ++j) {
            double dot = 0;
            for (size_t k = 0; k < side; ++k)
                dot += left[i][k] * right[k][j];
            result[i][j] = dot;
        }
    });
    for (size_t i = 0; i < side; ++i)
        for (size_t j = 0; j < side; ++j)
            if (result[i][j] != 2.0 * left[i][j]) return false;
    return true;
}

/// In memory of the shared heap.
bool primes() {
    constexpr size_t block = 4096, known = 6057; // primes below 60,000
    auto* const composite = new (std::nothrow) std::array<bool, sieve_end>{};
    if (composite == nullptr) return false;
    os::parallel_for(0, (sieve_end + block - 1) / block, 1, [&](uint64_t b) {
        const size_t begin = b * block, end = begin + block < sieve_end ? begin + block : sieve_end;
        for (size_t p = 2; p * p < sieve_end; ++p) {
            size_t multiple = (begin + p - 1) / p * p;
            if (multiple < p * p) multiple = p * p;
            for (; multiple < end; multiple += p)
                (*composite)[multiple] = true;
        }
    });
    size_t count = 0;
    for (size_t i = 2; i < sieve_end; ++i)
        count += !(*composite)[i];
    delete composite;
    return count == known;
}

/// sin^2 + cos^2 is 1, and exp undoes log.
bool waves() {
    std::atomic<uint32_t> wrong{};
    os::parallel_for(0, 2000, 50, [&](uint64_t i) {
        const double x = static_cast<double>(i) / 7.0 + 0.125;
        const double one = os::sin(x) * os::sin(x) + os::cos(x) * os::cos(x);
        const double same = os::exp(os::log(x)) / x, root = os::sqrt(x) * os::sqrt(x) / x;
        const auto is_one = [](double y) { return y > 1 - 1e-12 && y < 1 + 1e-12; };
        if (!is_one(one) || !is_one(same) || !is_one(root)) ++wrong;
    });
    return wrong.load() == 0;
}

} // namespace parallel
