// How cores are started from this one: memory, image, hand-over page, joint with the monitor,
// start-up interrupt; and waiting for them, with a time-out.
#pragma once

#include <array>
#include <optional>

#include "interfaces/memory.hpp"
#include "interfaces/monitor.hpp"
#include "lib/async/loop.hpp"
#include "lib/os/cores.hpp"
#include "lib/os/memory.hpp"
#include "usr/coreboot/plan.hpp"
#include "usr/coreboot/tree.hpp"

namespace coreboot {

class Starter {
  public:
    /// `memory` is the endpoint of the memory server.
    Starter(os::Domain& self, os::CapSlot memory)
        : self_{self}, memory_{memory}, monitor_{abi::slot_at(0, abi::slot::monitor)} {}

    /// Everything that is the same for all cores.
    Result<> prepare();

    /// Takes the memory of the cores below this one, before anybody else can.
    void reserve_for_children();

    /// Starts those for whom there is memory, each with all that is below it, and waits for them.
    async::Task<> start_children();

    /// Sets one going. Errors: no_such_core, bad_state (it is up or on its way), no_memory.
    Result<> start(CoreId core) { return start(core, false); }

    /// The same, with memory for all below it, which it will start.
    Result<> start_tree(CoreId core) { return start(core, true); }

    /// Until it is up. Who is not by then is left out. Errors: timed_out.
    async::Task<> comes_up(CoreId core, Instant deadline);

    /// What a core that has failed had is this core's, to start others with.
    void take_back(CoreId failed);

    unsigned core_count() const { return static_cast<unsigned>(info_.core_count); }

    Duration patience() const { return os::patience_of(core_count()); }

    const Tree& tree() const { return *tree_; }

  private:
    using OwnedCap = os::OwnedCap;

    struct Ram {
        Pieces pieces;
        std::array<OwnedCap, Pieces::most> capability; // of each piece
    };

    struct Child {
        CoreId core{};
        Ram ram;
        bool starts{};
    };

    uint32_t apic_of(CoreId core) const { return info_.cores[core.raw].apic_id; }

    uint16_t node_of(CoreId core) const { return info_.cores[core.raw].node; }

    void choose_shares();
    Result<> prepare_start_page();
    Result<> check(CoreId core) const;
    Result<> start(CoreId core, bool whole_tree);
    Result<> start_on(CoreId core, Ram& ram, bool whole_tree);
    Result<> fill(CoreId core, const Ram& ram, bool whole_tree);
    Result<> fill_block_of(CoreId core, const Ram& ram, const Joint& joint, bool whole_tree);
    Result<> give(CoreId core, Ram& ram);
    void say(CoreId core, const Pieces& pieces) const;
    async::Task<> start_child(Child& child);
    template <class Take>
    bool fetch_all(CoreId core, Take&& take);
    Result<Ram> ram_for(CoreId core, bool whole_tree);
    Result<Ram> take_ram(CoreId core, bool whole_tree);
    void add_low_blocks(Ram& ram, CoreId top);
    void collect(Ram& ram, uint16_t node, uint64_t bytes);
    std::optional<OwnedCap> take_in_node(uint16_t node, uint64_t bytes);
    void put_back(OwnedCap ram);
    void put_back(Ram& ram);
    Result<PhysAddr> make_low_tables(CoreId core, PhysAddr block);
    Result<Joint> make_joint(CoreId core);
    abi::StartEntry& start_entry(CoreId core);

    os::Domain& self_;
    os::LocalClient<interfaces::memory::Client> memory_;
    os::LocalClient<interfaces::monitor::Client> monitor_;
    abi::BootInfo info_{};
    std::optional<Tree> tree_;
    os::View file_view_, start_view_;
    Bytes file_;
    std::optional<elf::Image> image_;
    BlockLayout layout_;
    std::array<Child, 4> children_; // two of its node, and two of those that lead other nodes
    size_t child_count_{};

    struct Kept { // what a core goes on with after its start, until the next one
        OwnedCap joint, low_tables;
    };

    std::array<Kept, 256> kept_;
};

} // namespace coreboot
