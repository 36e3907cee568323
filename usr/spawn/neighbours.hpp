// RAM that moves between cores: a core without enough asks its neighbours for whole blocks, and
// gives them back when nothing of them is used any more. The spawners talk, the monitors hand over,
// the memory servers only count.
#pragma once

#include <algorithm>
#include <array>
#include <tuple>

#include "interfaces/memory.hpp"
#include "interfaces/monitor.hpp"
#include "lib/async/sync.hpp"
#include "lib/os/spawners.hpp"
#include "usr/spawn/foreign.hpp"

namespace spawn {

/// The other cores in the order in which they are asked: the nearest first, then by how far their
/// numbers are apart. distance_to(core) is that of their nodes.
template <class DistanceTo>
constexpr size_t
order_neighbours(std::span<uint8_t> out, unsigned self, unsigned count, DistanceTo&& distance_to) {
    size_t found = 0;
    for (unsigned core = 0; core < count && found < out.size(); ++core)
        if (core != self) out[found++] = static_cast<uint8_t>(core);
    std::ranges::sort(out.first(found), {}, [&](uint8_t core) {
        const unsigned apart = core < self ? self - core : core - self;
        return std::tuple{distance_to(core), apart, core};
    });
    return found;
}

class Neighbours {
  public:
    Neighbours(
        os::Domain& self, interfaces::memory::Client& memory, interfaces::monitor::Client& monitor
    )
        : self_{self}, memory_{memory}, monitor_{monitor}, one_at_a_time_{self.loop(), 1} {}

    /// Reads from the hand-over page how the cores lie. Without it they lie in a row.
    Result<> begin();

    /// A block of at least `bytes` more for this core's memory server. Errors: no_memory.
    async::Task<> borrow(uint64_t bytes);

    /// What came from others and is wholly free goes back.
    async::Task<> give_back();

    bool owes() const { return foreign_.count() != 0; }

    // -- asked by another core's spawner --

    struct Donation {
        uint64_t bytes;
        Label label;
    };

    /// Errors: no_memory (a quarter of what we have stays here).
    Result<Donation> donate(CoreId to, uint64_t bytes);
    /// It has been handed back under this label.
    async::Task<> returned(Label label);

    /// A revocation of ours waits: every spawner ends who holds it back (Spawner::end_holders).
    /// True: one of them cannot be silenced.
    async::Task<bool> say_overdue();

    /// What somebody handed to this core. Errors: not_found (it did not arrive).
    async::Task<os::OwnedCap> fetch(Label label);

  private:
    async::Task<> borrow_from(uint8_t core, uint64_t bytes);
    async::Task<> look_for(Foreign& entry);
    async::Task<> hand_back(Foreign& entry);
    Result<> take_in(Foreign& entry, os::OwnedCap ram);
    Result<> take_spare();
    bool is_up(uint8_t core);
    Label next_label();

    os::Domain& self_;
    interfaces::memory::Client& memory_;
    interfaces::monitor::Client& monitor_;
    async::Semaphore one_at_a_time_;
    std::array<uint8_t, 255> order_{};
    size_t order_count_{};
    ForeignTable foreign_;
    uint32_t labels_{};
};

} // namespace spawn
