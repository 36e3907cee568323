// What an input means to a kernel: system calls, interrupts, faults and pages that bytes decide.
// Used by the fuzzers, and by the unit test that runs the kept corpus.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "kernel/hostile.hpp"
#include "tests/kernel/random_calls.hpp"

namespace kernel_fuzz {

using Input = std::span<const uint8_t>;

struct Outcome {
    std::string trouble; // empty: none
    uint64_t calls{};    // system calls made
};

/// Two bytes at a time, then numbers that follow from all of them.
class Choices {
  public:
    explicit Choices(Input input) : left_{input} {
        for (const uint8_t byte : input)
            state_ = (state_ ^ byte) * 0x100'0000'01b3;
    }

    bool more() const { return !left_.empty(); }

    uint32_t next() {
        if (left_.empty()) return follow();
        uint32_t word = 0;
        for (int i = 0; i < 2 && !left_.empty(); ++i) {
            word = word << 8 | left_.front();
            left_ = left_.subspan(1);
        }
        return word;
    }

  private:
    uint32_t follow() {
        state_ += 0x9e37'79b9'7f4a'7c15;
        uint64_t x = (state_ ^ state_ >> 30) * 0xbf58'476d'1ce4'e5b9;
        x = (x ^ x >> 27) * 0x94d0'49bb'1331'11eb;
        return static_cast<uint32_t>(x >> 32);
    }

    Input left_;
    uint64_t state_{0xcbf2'9ce4'8422'2325};
};

/// The first byte says how many steps follow after those that the other bytes decide.
inline Outcome run_calls(Input input) {
    if (input.empty()) return {};
    const uint8_t first = input.front();
    const unsigned after = first < 128 ? 0 : 32u << (first % 8);
    Choices choices{input.subspan(1)};
    kernel_test::CallStorm storm{[&] { return choices.next(); }};
    Outcome outcome;
    unsigned steps = 0;
    const auto go_on = [&] {
        if (!storm.step()) return false;
        if (++steps % 128 == 0) outcome.trouble = storm.trouble();
        return outcome.trouble.empty();
    };
    while (choices.more())
        if (!go_on()) break;
    for (unsigned i = 0; i < after && outcome.trouble.empty(); ++i)
        if (!go_on()) break;
    outcome.calls = storm.calls();
    if (outcome.trouble.empty()) outcome.trouble = storm.trouble();
    if (outcome.trouble.empty()) outcome.trouble = storm.revoke_everything();
    return outcome;
}

/// Whatever its page says, what is loaded next is a user's.
inline std::string loaded_trouble(const kernel_test::Dispatcher& d) {
    const auto& r = d.registers;
    if (d.state != kernel::State::runnable) return {};
    if (!kernel::in_user_half(r.rip)) return "rip";
    if (!kernel::in_user_half(r.fs_base) || !kernel::in_user_half(r.gs_base)) return "bases";
    if ((r.rflags & ~kernel::rflags_of_domain) != kernel::rflags_fixed) return "flags";
    return {};
}

/// A dispatcher page of these bytes, and every way the kernel reads it: resume from both areas,
/// faults, wait, preemption, a reply that nobody waits for.
inline Outcome run_page(Input input) {
    using namespace kernel_test;
    Outcome outcome;
    for (int way = 0; way < 7 && outcome.trouble.empty(); ++way) {
        World world;
        Domain me = world.make_domain(8);
        world.core->schedule();
        std::memcpy(me.page, input.data(), std::min(input.size(), sizeof(abi::DispatcherPage)));
        if (way < 2) {
            world.invoke(Op::resume, abi::slot::dispatcher, {static_cast<uint64_t>(way)});
        } else if (way == 2) {
            world.core->on_fault(14, 0, 0);
        } else if (way == 3) {
            world.invoke(Op::wait, abi::slot::dispatcher, {0, abi::wait_polls});
        } else if (way == 4) {
            world.core->on_fault(3, 0, 0);
        } else if (way == 5) {
            world.invoke(Op::reply_wait, abi::slot::dispatcher);
            world.machine.time = world.machine.time + milliseconds(20);
            world.core->on_timer();
        } else {
            (void)world.make_domain(9); // takes the core, then gives it back
            world.core->schedule();
            world.invoke(Op::dispatcher_stop, abi::slot::dispatcher);
        }
        world.core->schedule();
        outcome.trouble = loaded_trouble(*me.dispatcher);
        outcome.calls += world.core->statistics().calls;
    }
    return outcome;
}

/// A fuzzer's: stops at trouble, and tells at its end how many calls it made.
inline int run_or_stop(const Outcome& outcome) {
    static uint64_t calls = 0;
    static const int told = std::atexit([] {
        std::fprintf(stderr, "invocations: %llu\n", static_cast<unsigned long long>(calls));
    });
    (void)told;
    calls += outcome.calls;
    if (outcome.trouble.empty()) return 0;
    std::fprintf(stderr, "%s\n", outcome.trouble.c_str());
    std::abort();
}

} // namespace kernel_fuzz
