// The answer of a system call in the registers of who made it (lib/abi/invocation.hpp).
#pragma once

#include <array>
#include <cstdint>

#include "lib/abi/dispatcher_page.hpp"
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

inline void clear_answer(Registers& r) {
    r.rax = r.rdi = 0;
    r.rsi = r.rdx = r.r10 = r.r8 = r.r9 = r.r12 = r.r13 = 0;
}

inline void answer_status(Registers& r, const Result<>& result) {
    clear_answer(r);
    if (!result) r.rax = result.error().raw();
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

inline void answer_events(Registers& r, uint64_t bits) {
    clear_answer(r);
    r.rsi = static_cast<uint64_t>(abi::Woke::events);
    r.rdx = bits;
}

} // namespace kernel
