// What comes from a dispatcher page: read once, then checked. The domain may have written anything.
#pragma once

#include <cstdint>

#include "lib/abi/dispatcher_page.hpp"
#include "lib/abi/startup.hpp"

namespace kernel {

/// One load: what was checked is what is used.
inline uint64_t read_once(const uint64_t& word) {
    return *static_cast<const volatile uint64_t*>(&word);
}

constexpr bool in_user_half(uint64_t address) {
    return address < abi::user_end.raw;
}

/// Carry, parity, auxiliary, zero, sign, direction, overflow (Intel SDM 1 3.4.3): all that a domain
/// may choose. Bit 1 is always set, and interrupts are always on.
constexpr uint64_t rflags_of_domain = 0xcd5;
constexpr uint64_t rflags_fixed = 0x202;

constexpr uint64_t sane_rflags(uint64_t rflags) {
    return (rflags & rflags_of_domain) | rflags_fixed;
}

/// Each word where it belongs at once: nothing is read twice, nor kept in between.
inline void copy_once(const abi::SaveArea& from, abi::SaveArea& to) {
    to.rax = read_once(from.rax);
    to.rbx = read_once(from.rbx);
    to.rcx = read_once(from.rcx);
    to.rdx = read_once(from.rdx);
    to.rsi = read_once(from.rsi);
    to.rdi = read_once(from.rdi);
    to.rbp = read_once(from.rbp);
    to.rsp = read_once(from.rsp);
    to.r8 = read_once(from.r8);
    to.r9 = read_once(from.r9);
    to.r10 = read_once(from.r10);
    to.r11 = read_once(from.r11);
    to.r12 = read_once(from.r12);
    to.r13 = read_once(from.r13);
    to.r14 = read_once(from.r14);
    to.r15 = read_once(from.r15);
    to.rip = read_once(from.rip);
    to.rflags = read_once(from.rflags);
    to.fs_base = read_once(from.fs_base);
    to.gs_base = read_once(from.gs_base);
}

} // namespace kernel
