// Port I/O as a seam: in ring 0 it is one instruction, in a domain an invocation of an IoPort
// capability, in a test a fake. An access that is not permitted is our own mistake (the ports were
// handed to us), so it has no error.
#pragma once

#include <concepts>
#include <cstdint>

namespace hw {

template <class P>
concept PortIo = requires(P io, uint16_t port) {
    { io.in8(port) } -> std::same_as<uint8_t>;
    { io.in16(port) } -> std::same_as<uint16_t>;
    { io.in32(port) } -> std::same_as<uint32_t>;
    io.out8(port, uint8_t{});
    io.out16(port, uint16_t{});
    io.out32(port, uint32_t{});
};

/// Registers in I/O space from `base` on: the Io of a Block over ports.
template <PortIo P>
class PortBlock {
  public:
    constexpr PortBlock(P& ports, uint16_t base) : ports_{&ports}, base_{base} {}

    template <class T>
    T load(uint32_t offset) {
        const auto port = static_cast<uint16_t>(base_ + offset);
        if constexpr (sizeof(T) == 1)
            return ports_->in8(port);
        else if constexpr (sizeof(T) == 2)
            return ports_->in16(port);
        else
            return ports_->in32(port);
    }

    void store(uint32_t offset, uint8_t v) { ports_->out8(at(offset), v); }

    void store(uint32_t offset, uint16_t v) { ports_->out16(at(offset), v); }

    void store(uint32_t offset, uint32_t v) { ports_->out32(at(offset), v); }

  private:
    uint16_t at(uint32_t offset) const { return static_cast<uint16_t>(base_ + offset); }

    P* ports_;
    uint16_t base_;
};

} // namespace hw
