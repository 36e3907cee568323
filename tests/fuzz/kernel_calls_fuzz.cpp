// Arbitrary system calls, interrupts, faults and dispatcher pages: the bytes decide every choice.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "tests/kernel/random_calls.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::span<const uint8_t> left{data, size};
    const auto next = [&]() -> uint32_t {
        uint32_t word = 0;
        for (int i = 0; i < 2 && !left.empty(); ++i) {
            word = word << 8 | left.front();
            left = left.subspan(1);
        }
        return word;
    };
    kernel_test::CallStorm storm{next};
    while (!left.empty())
        storm.step();
    auto trouble = storm.trouble();
    if (trouble.empty()) trouble = storm.revoke_everything();
    if (!trouble.empty()) {
        std::fprintf(stderr, "%s\n", trouble.c_str());
        std::abort();
    }
    return 0;
}
