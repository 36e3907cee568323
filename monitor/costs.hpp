// What a line costs between cores, as each of them has measured it: the same on every core once it
// has heard of all. A row is what one core has seen, and like a core's record the later counts.
//
// Who measures reads lines that the other core has written and nobody else has read since, on the
// page behind its doorstep. Up to 32 cores all measure; in a larger machine as many of each node,
// and the costs between two nodes are those of their samples.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "lib/group/costs.hpp"
#include "monitor/heard.hpp"
#include "monitor/messages.hpp"

namespace monitor {

/// Cycles, as measured by the core that reads.
struct LineCost {
    uint32_t write{}; // of a line that the other side looks at
    uint32_t read{};  // of a line that the other side has written
};

class CostBoard {
  public:
    static constexpr size_t most_samplers = std::tuple_size_v<LineCosts::Row>;

    /// Of the hand-over page. All cores do this alike, before anything else.
    void set_node(CoreId core, uint8_t node);

    void set_distance(uint8_t from, uint8_t to, uint8_t distance) {
        if (from < group::max_nodes && to < group::max_nodes) distance_[from][to] = distance;
    }

    /// The number of that core among those who measure. None: it does not.
    std::optional<size_t> place_of(CoreId core) const;

    /// Nobody has measured what is between these two, and both do measure.
    bool is_missing(CoreId a, CoreId b) const;

    /// What this core has seen; told by `publish`.
    void set(CoreId self, CoreId there, LineCost cost);
    void publish(CoreId self, uint32_t version, const CoreSet& untold);

    /// False: it is not news, or not of one who measures.
    bool learn(const LineCosts& row, const CoreSet& untold);

    std::optional<LineCosts> next_untold(CoreId peer);
    void tell_all(CoreId peer);
    void forget(CoreId peer);

    /// Another number after each change.
    uint32_t revision() const { return revision_; }

    void fill(group::CostTable& table) const;

  private:
    struct Row {
        LineCosts said;
        CoreSet untold;
    };

    void number_all() const;
    group::Cost between(size_t reader, size_t writer) const;

    size_t cores_{};
    uint8_t nodes_{1};
    // Of each core, once it was asked for after all nodes were set.
    mutable std::array<uint8_t, max_cores> places_{};
    mutable bool numbered_{};
    std::array<uint8_t, max_cores> node_of_{};
    std::array<std::array<uint8_t, group::max_nodes>, group::max_nodes> distance_{};
    std::array<Row, most_samplers> rows_{};
    Heard heard_;
    uint32_t revision_{1};
};

} // namespace monitor
