// The archive's functions guard their stacks by a word at FS:0x28 (System V ABI for x86-64, thread
// control block): a domain that links them has FS point to a block with such a word.
#include "lib/os/math.hpp"

#include <array>
#include <bit>
#include <cstdint>

#include "lib/os/fault.hpp"
#include "lib/os/instructions.hpp"

extern "C" {
double sin(double x);
double cos(double x);
double exp(double x);
double log(double x);
double sqrt(double x);
[[noreturn]] void __stack_chk_fail();
void os_begin_math();
void os_set_fs_base(uint64_t base);
}

namespace os {
namespace {

constexpr size_t guard_index = 5; // 0x28
constinit std::array<uint64_t, 8> guard_block{};

} // namespace

double sin(double x) {
    return ::sin(x);
}

double cos(double x) {
    return ::cos(x);
}

double exp(double x) {
    return ::exp(x);
}

double log(double x) {
    return ::log(x);
}

double sqrt(double x) {
    return ::sqrt(x);
}

} // namespace os

void os_begin_math() {
    os::guard_block[os::guard_index] = os::read_tsc() << 8; // a zero byte ends any string
    os_set_fs_base(std::bit_cast<uint64_t>(os::guard_block.data()));
}

void __stack_chk_fail() {
    os::end_with("a mathematical function found its stack overwritten");
}
