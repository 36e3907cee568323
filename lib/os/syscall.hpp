// The one system call and nothing else: registers in, registers out (lib/abi/invocation.hpp).
// What the operations mean is in capability.hpp beside this.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "lib/abi/invocation.hpp"
#include "lib/base/result.hpp"

namespace os {

using Values = std::array<uint64_t, abi::argument_words>;

/// The raw invocation: whatever comes back, status included.
inline abi::Answer system_call(abi::Op op, abi::CapSlot slot, const Values& in = {}) {
    uint64_t rax = std::to_underlying(op);
    uint64_t rdi = slot.raw;
    uint64_t rsi = in[0];
    uint64_t rdx = in[1];
    register uint64_t r10 asm("r10") = in[2];
    register uint64_t r8 asm("r8") = in[3];
    register uint64_t r9 asm("r9") = in[4];
    register uint64_t r12 asm("r12") = in[5];
    register uint64_t r13 asm("r13") = in[6];
    asm volatile("syscall"
                 : "+a"(rax),
                   "+D"(rdi),
                   "+S"(rsi),
                   "+d"(rdx),
                   "+r"(r10),
                   "+r"(r8),
                   "+r"(r9),
                   "+r"(r12),
                   "+r"(r13)
                 :
                 : "rcx", "r11", "memory");
    return {rax, rdi, {rsi, rdx, r10, r8, r9, r12, r13}};
}

/// The values an operation answers, or why it did nothing.
inline Result<Values> invoke(abi::Op op, abi::CapSlot slot, const Values& in = {}) {
    const abi::Answer answer = system_call(op, slot, in);
    if (answer.status != 0) return fail(Fault::from_raw(answer.status));
    return answer.value;
}

/// The same for operations that answer nothing.
inline Result<> command(abi::Op op, abi::CapSlot slot, const Values& in = {}) {
    const abi::Answer answer = system_call(op, slot, in);
    if (answer.status != 0) return fail(Fault::from_raw(answer.status));
    return {};
}

} // namespace os
