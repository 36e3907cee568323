// How one core is started from this one: memory, image, hand-over page, joint with the monitor,
// start-up interrupt; and waiting for it, with a time-out.
#pragma once

#include <array>
#include <optional>

#include "interfaces/memory.hpp"
#include "interfaces/monitor.hpp"
#include "lib/async/loop.hpp"
#include "lib/os/cores.hpp"
#include "lib/os/memory.hpp"
#include "usr/coreboot/plan.hpp"

namespace coreboot {

constexpr Duration patience = milliseconds(5000);

class Starter {
  public:
    /// `memory` is the endpoint of the memory server.
    Starter(os::Domain& self, os::CapSlot memory)
        : self_{self}, memory_{memory}, monitor_{abi::slot_at(0, abi::slot::monitor)} {}

    /// Everything that is the same for all cores.
    Result<> prepare();

    /// Sets it going. Errors: no_such_core, bad_state (it is up or on its way), no_memory.
    Result<> start(CoreId core);

    /// Until it is up. Who is not by then is left out. Errors: timed_out.
    async::Task<> comes_up(CoreId core, Instant deadline);

    unsigned core_count() const { return static_cast<unsigned>(info_.core_count); }

  private:
    using OwnedCap = os::OwnedCap;

    uint32_t apic_of(CoreId core) const { return info_.cores[core.raw].apic_id; }

    Result<> prepare_start_page();
    Result<> start_with(CoreId core, os::CapSlot ram, PhysAddr at, uint64_t bytes);
    Result<uint64_t> choose_share(CoreId core);
    std::optional<OwnedCap> take_in_node(uint64_t node, uint64_t bytes);
    Result<OwnedCap> ram_for(CoreId core, uint64_t& bytes);
    void put_back(OwnedCap ram);
    Result<OwnedCap> take_ram(CoreId core, uint64_t& bytes);
    Result<PhysAddr> make_low_tables(PhysAddr block);
    Result<> fill(os::CapSlot ram, PhysAddr at, const abi::BootInfo& info);
    Result<Joint> make_joint(CoreId core);
    abi::StartEntry& start_entry(CoreId core);

    os::Domain& self_;
    os::LocalClient<interfaces::memory::Client> memory_;
    os::LocalClient<interfaces::monitor::Client> monitor_;
    abi::BootInfo info_{};
    os::View file_view_, start_view_;
    Bytes file_;
    std::optional<elf::Image> image_;
    BlockLayout layout_;
    uint64_t whole_{};
};

} // namespace coreboot
