// The answer of a system call in the registers of who made it (lib/abi/invocation.hpp).
#pragma once

#include <array>
#include <cstdint>

#include "kernel/dispatcher.hpp"
#include "lib/abi/invocation.hpp"
#include "lib/base/result.hpp"

namespace kernel {

using Registers = abi::SaveArea;

/// Arguments and values 0..6 are in the same registers.
constexpr std::array<uint64_t Registers::*, abi::argument_words> word_registers = {
    &Registers::rsi,
    &Registers::rdx,
    &Registers::r10,
    &Registers::r8,
    &Registers::r9,
    &Registers::r12,
    &Registers::r13,
};

/// Registers without a value in the answer keep what they had.
inline void answer_status(Registers& r, const Result<>& result) {
    r.rax = result ? 0 : result.error().raw();
}

/// Words 1..6 of a message go from register to register.
inline void copy_message(const Registers& from, Registers& to) {
    to.rdx = from.rdx;
    to.r10 = from.r10;
    to.r8 = from.r8;
    to.r9 = from.r9;
    to.r12 = from.r12;
    to.r13 = from.r13;
}

inline void clear_message(Registers& r) {
    r.rdx = r.r10 = r.r8 = r.r9 = r.r12 = r.r13 = 0;
}

inline void answer_events(Registers& r, uint64_t bits) {
    r.rax = 0;
    r.rsi = static_cast<uint64_t>(abi::Woke::events);
    r.rdx = bits;
}

/// A message, but for its words, which are the last thing to be passed on.
[[gnu::always_inline]] inline void meet(Dispatcher& caller, Dispatcher& callee, uint64_t badge) {
    callee.open = false;
    callee.caller = &caller;
    caller.callee = &callee;
    caller.state = State::called;
    ++callee.calls_received;
    callee.registers.rax = 0;
    callee.registers.rdi = badge;
    callee.registers.rsi = static_cast<uint64_t>(abi::Woke::message);
}

/// The answer, likewise. `caller` is runnable then, and not on a ready list yet.
[[gnu::always_inline]] inline void part(Dispatcher& callee, Dispatcher& caller) {
    caller.registers.rax = caller.registers.rsi = 0;
    callee.caller = nullptr;
    caller.callee = nullptr;
    caller.state = State::runnable;
}

} // namespace kernel
