// Interrupt vectors of this core: whom each one wakes. Device lines take them from below, other
// cores' doorbells from above; when the latter run out they are shared, since a vector is only a
// hint to look.
#pragma once

#include <array>
#include <cstdint>

#include "kernel/dispatcher.hpp"
#include "lib/abi/invocation.hpp"
#include "lib/base/result.hpp"

namespace kernel {

constexpr uint8_t first_vector = 0x30, last_vector = 0xef;
constexpr uint8_t first_remote_vector = 0x70; // below: devices
constexpr uint32_t interrupt_lines = 256;
constexpr uint8_t most_sharers = 32; // of a vector: all are woken in one go

/// A device line that interrupts this core; unused while it has no target.
struct Line {
    Dispatcher* target; // nullptr: unused
    uint32_t gsi;
    uint8_t bit;
    bool level;
};

class Vectors {
  public:
    using Sharers = List<Dispatcher, &Dispatcher::vector_hook>;

    /// The vector of the line, a new one if it has none.
    Result<uint8_t> vector_for_line(uint32_t gsi) const;

    void bind(uint8_t vector, const Line& line) { lines_[vector - first_vector] = line; }

    /// The line of a device vector; nullptr if nothing is bound to it.
    Line* line(uint8_t vector);
    Line* line_of(uint32_t gsi);
    /// One of the lines bound to `d`, or nullptr.
    Line* line_of(const Dispatcher& d);

    /// Gives `d` a vector by which other cores ring it, if it has none yet. Err::no_space
    Result<uint8_t> join(Dispatcher& d);
    void leave(Dispatcher& d);
    /// nullptr: not a vector for other cores.
    const Sharers* sharers(uint8_t vector) const;

    // lines routed anywhere, to other cores too
    size_t lines_bound() const;
    size_t dispatchers_joined() const;

    bool routed(uint32_t gsi) const { return (routed_[gsi / 64] >> (gsi % 64) & 1) != 0; }

    void set_routed(uint32_t gsi) { routed_[gsi / 64] |= uint64_t{1} << (gsi % 64); }

    void clear_routed(uint32_t gsi) { routed_[gsi / 64] &= ~(uint64_t{1} << (gsi % 64)); }

  private:
    std::array<Line, first_remote_vector - first_vector> lines_{};
    std::array<uint64_t, interrupt_lines / 64> routed_{};
    std::array<Sharers, last_vector - first_remote_vector + 1> sharers_;
    std::array<uint8_t, last_vector - first_remote_vector + 1> joined_{}; // sharers of each
    size_t next_shared_{}; // the sharing is spread evenly
};

} // namespace kernel
