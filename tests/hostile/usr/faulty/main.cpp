// Goes wrong in the way that its argument names; without one it ends at once, with code 0. "wait"
// waits for ever, "spin" does not wait, "tell NAME" says what its environment has under that name,
// "farewell" has a last line of log, "disown" revokes the memory it lives on.
#include <array>
#include <cstdint>

#include "lib/async/loop.hpp"
#include "lib/base/cmdline.hpp"
#include "lib/base/invariant.hpp"
#include "lib/base/log.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/revoke.hpp"

namespace faulty {

namespace {

/// The optimizer must not know what comes, or it would leave the mistake out.
template <class T>
T unknown(T value) {
    asm volatile("" : "+r"(value));
    return value;
}

/// Keeps the call before it from becoming a jump, which would take the caller off the backtrace.
void after_call() {
    asm volatile("");
}

volatile uint32_t* word_at(uint64_t address) {
    return reinterpret_cast<volatile uint32_t*>(unknown(address));
}

constexpr uint64_t nowhere = 0x10, kernel_half = 0xffff'ffff'8000'0000;

} // namespace

// Named in the backtrace, so not in the unnamed namespace, and never inlined.

[[gnu::noinline]] void read_of_nothing() {
    (void)*word_at(nowhere);
}

[[gnu::noinline]] void read_of_the_cpu_driver() {
    (void)*word_at(kernel_half);
}

[[gnu::noinline]] void write_to_code() {
    *word_at(reinterpret_cast<uint64_t>(&read_of_nothing)) = 0;
}

[[gnu::noinline]] void jump_to_data() {
    alignas(16) static constinit std::array<uint8_t, 16> data{0xc3};
    const auto target = unknown(reinterpret_cast<uint64_t>(data.data()));
    asm volatile("call *%0" ::"r"(target) : "memory");
}

[[gnu::noinline]] uint64_t overflow_the_stack(uint64_t depth) {
    std::array<volatile uint64_t, 64> frame;
    frame[depth % frame.size()] = depth;
    if (depth == unknown(UINT64_MAX)) return 0;
    return overflow_the_stack(unknown(depth + 1)) + frame[0];
}

[[gnu::noinline]] void privileged() {
    asm volatile("cli");
}

[[gnu::noinline]] void undefined() {
    asm volatile("ud2");
}

[[gnu::noinline]] void divide_by_zero() {
    asm volatile("xorl %%ecx, %%ecx\n divl %%ecx" ::: "eax", "ecx", "edx");
}

[[gnu::noinline]] void spin() {
    for (;;)
        after_call();
}

[[gnu::noinline]] void broken_invariant() {
    INVARIANT(unknown(1) == 2, "asked for by the argument");
}

[[gnu::noinline]] bool go_wrong(std::string_view how) {
    if (how == "read")
        read_of_nothing();
    else if (how == "kernel")
        read_of_the_cpu_driver();
    else if (how == "write")
        write_to_code();
    else if (how == "jump")
        jump_to_data();
    else if (how == "stack")
        (void)overflow_the_stack(0);
    else if (how == "privileged")
        privileged();
    else if (how == "undefined")
        undefined();
    else if (how == "divide")
        divide_by_zero();
    else if (how == "spin")
        spin();
    else if (how == "invariant")
        broken_invariant();
    else
        return false;
    after_call();
    return true;
}

/// All memory it lives on, itself included. Its log is a channel, which is lent, so the monitor
/// does it and goes on when nobody is left to ask.
async::Task<> disown() {
    log::info("nothing shall be left");
    co_await os::domain().loop().sleep_for(milliseconds(100));
    co_await os::revoke(abi::slot_at(0, abi::slot::quota));
    log::error("something is left");
    co_return {};
}

} // namespace faulty

int domain_main(os::Domain& self) {
    std::string_view arguments = self.arguments();
    if (faulty::go_wrong(arguments)) log::error("faulty is still alive after {}", arguments);
    const std::string_view verb = take_until(arguments, ' ');
    if (verb == "exit") return static_cast<int>(parse_number(arguments).value_or(99));
    if (verb == "tell") {
        log::info("{} is {}", arguments, self.environment(arguments).value_or("unknown"));
        return self.serve();
    }
    if (verb == "disown" && !self.loop().spawn("disown", [&] { return faulty::disown(); }))
        return 1;
    if (verb == "farewell") log::info("farewell");
    return verb == "wait" || verb == "disown" ? self.serve() : 0;
}
