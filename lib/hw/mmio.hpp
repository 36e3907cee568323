// Device memory, one plain mov an access: the compiler may neither merge, split, drop nor reorder
// them, and hypervisors decode plain movs best.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/base/invariant.hpp"

namespace hw {

// "memory" in each: stores to descriptors before a doorbell stay before it in the program, and
// x86 keeps stores in program order for the device (SDM vol. 3A, 8.2.2).
inline uint8_t mmio_load8(const void* at) {
    uint8_t v;
    asm volatile("movb %1, %0" : "=q"(v) : "m"(*static_cast<const uint8_t*>(at)) : "memory");
    return v;
}

inline uint16_t mmio_load16(const void* at) {
    uint16_t v;
    asm volatile("movw %1, %0" : "=r"(v) : "m"(*static_cast<const uint16_t*>(at)) : "memory");
    return v;
}

inline uint32_t mmio_load32(const void* at) {
    uint32_t v;
    asm volatile("movl %1, %0" : "=r"(v) : "m"(*static_cast<const uint32_t*>(at)) : "memory");
    return v;
}

inline uint64_t mmio_load64(const void* at) {
    uint64_t v;
    asm volatile("movq %1, %0" : "=r"(v) : "m"(*static_cast<const uint64_t*>(at)) : "memory");
    return v;
}

inline void mmio_store8(void* at, uint8_t v) {
    asm volatile("movb %1, %0" : "=m"(*static_cast<uint8_t*>(at)) : "q"(v) : "memory");
}

inline void mmio_store16(void* at, uint16_t v) {
    asm volatile("movw %1, %0" : "=m"(*static_cast<uint16_t*>(at)) : "r"(v) : "memory");
}

inline void mmio_store32(void* at, uint32_t v) {
    asm volatile("movl %1, %0" : "=m"(*static_cast<uint32_t*>(at)) : "r"(v) : "memory");
}

inline void mmio_store64(void* at, uint64_t v) {
    asm volatile("movq %1, %0" : "=m"(*static_cast<uint64_t*>(at)) : "r"(v) : "memory");
}

/// The Io of a device whose registers are mapped at `base` for `bytes`.
class Mmio {
  public:
    constexpr Mmio(void* base, size_t bytes)
        : base_{static_cast<std::byte*>(base)}, bytes_{bytes} {}

    template <class T>
    T load(uint32_t offset) const {
        const std::byte* at = checked(offset, sizeof(T));
        if constexpr (sizeof(T) == 1)
            return mmio_load8(at);
        else if constexpr (sizeof(T) == 2)
            return mmio_load16(at);
        else if constexpr (sizeof(T) == 4)
            return mmio_load32(at);
        else
            return mmio_load64(at);
    }

    void store(uint32_t offset, uint8_t v) const { mmio_store8(checked(offset, 1), v); }

    void store(uint32_t offset, uint16_t v) const { mmio_store16(checked(offset, 2), v); }

    void store(uint32_t offset, uint32_t v) const { mmio_store32(checked(offset, 4), v); }

    void store(uint32_t offset, uint64_t v) const { mmio_store64(checked(offset, 8), v); }

    size_t bytes() const { return bytes_; }

  private:
    // With constant offsets the test folds into one comparison with bytes_.
    std::byte* checked(uint32_t offset, size_t width) const {
        INVARIANT(offset + width <= bytes_ && offset % width == 0, "registers lie in their window");
        return base_ + offset;
    }

    std::byte* base_;
    size_t bytes_;
};

} // namespace hw
