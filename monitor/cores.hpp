// The cores of the machine as this one knows them. Each change of a core's record has a version
// (its epoch): of two records the later one counts, so that it does not matter in which order, how
// often or by which way they come. The records say also who is whose parent in the tree.
#pragma once

#include <algorithm>
#include <optional>

#include "monitor/messages.hpp"

namespace monitor {

struct CoreRecord {
    uint32_t apic{};
    CoreState state{};
    CoreId parent{}; // the root's is itself
    uint32_t version{};
    uint32_t vector{}; // how its monitor is rung
    PhysAddr doorstep{};
    bool loud{}; // it failed, and its drivers' devices may still write to what was its memory
};

constexpr bool is_leaving(CoreState state) {
    return state == CoreState::failing || state == CoreState::stopping;
}

constexpr bool is_over(CoreState state) {
    return state == CoreState::failed || state == CoreState::stopped;
}

constexpr bool is_gone(CoreState state) {
    return is_leaving(state) || is_over(state);
}

class CoreTable {
  public:
    size_t count() const { return count_; }

    const CoreRecord& operator[](CoreId core) const { return records_[core.raw]; }

    bool is_up(CoreId core) const { return records_[core.raw].state == CoreState::up; }

    bool is_known(CoreId core) const { return core.raw < count_; }

    /// Of the hand-over page.
    void set_apic(CoreId core, uint32_t apic) {
        records_[core.raw].apic = apic;
        count_ = std::max<size_t>(count_, core.raw + 1u);
    }

    /// How this core begins, whatever was known.
    void set(CoreId core, const CoreRecord& record) {
        set_apic(core, record.apic);
        records_[core.raw] = record;
    }

    /// False: it is not news.
    bool learn(CoreId core, const CoreRecord& record);

    /// Whatever `core` has written with a record of this version or an older one is of a life that
    /// is over.
    uint32_t end_of_last_life(CoreId core) const { return last_end_[core.raw]; }

    CoreSet up() const;

    bool any_leaving() const;

    /// The lowest core that is up: it decides who has failed.
    CoreId decider() const { return decider_but({}); }

    CoreId decider_but(const CoreSet& except) const;

    /// Those to whom `core` is joined along the tree, as far as they are up.
    CoreSet neighbours(CoreId core) const;

    /// The neighbour of `from` on the way to `to`, along the tree.
    CoreId next_hop(CoreId from, CoreId to) const;

    /// A core whose parent has gone, and to whom it is to be joined now.
    struct Move {
        CoreId core, parent;
    };

    std::optional<Move> next_orphan() const;

  private:
    std::optional<CoreId> living_ancestor(CoreId core) const;
    std::optional<CoreId> root() const;

    std::array<CoreRecord, max_cores> records_{};
    std::array<uint32_t, max_cores> last_end_{};
    size_t count_{};
};

} // namespace monitor
