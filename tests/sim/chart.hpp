// The last events of a run, and their message sequence chart: a column for each core, an arrow for
// each message when it is delivered, a line of text for what domains do.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

#include "lib/base/result.hpp"

namespace sim {

struct Event {
    static constexpr int8_t none = -1;

    uint32_t step{};
    int8_t from{none}, to{none}; // cores; one core only: something that happened there
    int16_t domain{none};        // who did it: number of the domain, or none for the system's own
    const char* what{""};
    uint64_t a{}, b{};
    Err status{Err::none};
};

class Chart {
  public:
    static constexpr size_t kept = 4096;

    void clear() { count_ = 0; }

    void add(const Event& event) { events_[count_++ % kept] = event; }

    /// The last `lines` events.
    std::string text(unsigned cores, size_t lines) const;

  private:
    static std::string line(const Event& event, unsigned cores);

    std::array<Event, kept> events_;
    size_t count_{};
};

} // namespace sim
