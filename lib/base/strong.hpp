// Numbers that have a unit get a type: a physical address does not convert to a virtual one.
#pragma once

#include <compare>
#include <concepts>
#include <cstdint>

/// `raw` is public and greppable: it marks the boundary to hardware and to formats.
template <class Tag, std::unsigned_integral Rep>
struct Strong {
    Rep raw{};
    friend constexpr auto operator<=>(Strong, Strong) = default;
};

struct CoreId : Strong<CoreId, uint8_t> {}; // index of a core, dense from 0

struct ApicId : Strong<ApicId, uint32_t> {}; // what the interrupt hardware calls it

struct PhysAddr : Strong<PhysAddr, uint64_t> {
    friend constexpr PhysAddr operator+(PhysAddr a, uint64_t bytes) { return {{a.raw + bytes}}; }

    friend constexpr uint64_t operator-(PhysAddr a, PhysAddr b) { return a.raw - b.raw; }

    constexpr bool aligned(uint64_t to) const { return raw % to == 0; }
};

struct VirtAddr : Strong<VirtAddr, uint64_t> {
    friend constexpr VirtAddr operator+(VirtAddr a, uint64_t bytes) { return {{a.raw + bytes}}; }

    friend constexpr uint64_t operator-(VirtAddr a, VirtAddr b) { return a.raw - b.raw; }

    constexpr bool aligned(uint64_t to) const { return raw % to == 0; }
};

constexpr PhysAddr phys(uint64_t raw) {
    return {{raw}};
}

constexpr VirtAddr virt(uint64_t raw) {
    return {{raw}};
}

constexpr uint64_t page_bytes = 4096;
constexpr uint64_t large_page_bytes = 2 * 1024 * 1024;
constexpr uint64_t line_bytes = 64;

constexpr uint64_t round_up(uint64_t value, uint64_t to) {
    return (value + to - 1) / to * to;
}

constexpr uint64_t round_down(uint64_t value, uint64_t to) {
    return value / to * to;
}

static_assert(!std::convertible_to<PhysAddr, VirtAddr> && !std::convertible_to<uint64_t, PhysAddr>);
