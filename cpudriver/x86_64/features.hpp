// What this CPU can do, as far as the CPU driver asks: needed features are missing with a name,
// wished ones are used where they are. Source: Intel SDM vol. 2A, CPUID.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "cpudriver/x86_64/instructions.hpp"

namespace cpu {

struct Features {
    bool mce{}, smep{}, smap{}, umip{}, fsgsbase{}, pcid{};
    bool xsave{}, avx{}, avx512{}, x2apic{}, pages_1g{};
};

namespace detail {

enum class Register : uint8_t { a, b, c, d };

struct Bit {
    uint32_t leaf;
    Register where;
    uint8_t bit;
};

inline bool has(Bit wanted) {
    if (cpuid(wanted.leaf & 0x8000'0000).a < wanted.leaf) return false;
    const CpuidAnswer r = cpuid(wanted.leaf);
    const std::array all{r.a, r.b, r.c, r.d};
    return (all[static_cast<size_t>(wanted.where)] >> wanted.bit & 1) != 0;
}

} // namespace detail

/// The first feature that Skerry cannot do without and this CPU lacks.
inline std::optional<std::string_view> missing_feature() {
    using detail::Register;

    struct Needed {
        std::string_view name;
        detail::Bit bit;
    };

    constexpr std::array needed{
        Needed{"TSC (time stamp counter)", {1, Register::d, 4}},
        Needed{"MSR (model-specific registers)", {1, Register::d, 5}},
        Needed{"APIC (local interrupt controller)", {1, Register::d, 9}},
        Needed{"PGE (global pages)", {1, Register::d, 13}},
        Needed{"PAT (page attribute table)", {1, Register::d, 16}},
        Needed{"FXSR (FXSAVE and FXRSTOR)", {1, Register::d, 24}},
        Needed{"SSE2", {1, Register::d, 26}},
        Needed{"SYSCALL", {0x8000'0001, Register::d, 11}},
        Needed{"NX (no-execute pages)", {0x8000'0001, Register::d, 20}},
    };
    for (const Needed& n : needed)
        if (!detail::has(n.bit)) return n.name;
    return std::nullopt;
}

inline Features features() {
    using detail::has, detail::Register;
    return {
        .mce = has({1, Register::d, 7}),
        .smep = has({7, Register::b, 7}),
        .smap = has({7, Register::b, 20}),
        .umip = has({7, Register::c, 2}),
        .fsgsbase = has({7, Register::b, 0}),
        .pcid = has({1, Register::c, 17}),
        .xsave = has({1, Register::c, 26}),
        .avx = has({1, Register::c, 28}),
        .avx512 = has({7, Register::b, 16}),
        .x2apic = has({1, Register::c, 21}),
        .pages_1g = has({0x8000'0001, Register::d, 26}),
    };
}

/// The interrupt hardware's name for the core that asks, as firmware's tables have it.
inline uint32_t initial_apic_id() {
    constexpr uint32_t topology = 0x0b;
    if (cpuid(0).a >= topology)
        if (const CpuidAnswer r = cpuid(topology); r.b != 0) return r.d;
    return cpuid(1).b >> 24;
}

} // namespace cpu
