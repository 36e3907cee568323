// Starts the drivers, each on the core it is placed on, and sees to it that a device reaches memory
// no more when its driver has ended, or the driver's core has failed.
#pragma once

#include <optional>

#include "drivers/pci/domain/lines.hpp"
#include "drivers/pci/drivers.hpp"
#include "interfaces/monitor.hpp"
#include "interfaces/spawn.hpp"
#include "lib/os/binder.hpp"
#include "lib/os/local.hpp"

namespace pci {

/// As it is usually written: bus:device.function.
struct Written {
    PciAddress at;
};

inline void format_value(TextWriter& out, const Written& w) {
    format(out, "{:02x}:{:02x}.{}", w.at.bus, w.at.device, w.at.function);
}

class Keeper final : public os::DeviceKeeper {
  public:
    Keeper(os::Domain& self, Config& config, Lines& lines)
        : self_{self}, config_{config}, lines_{lines},
          monitor_{abi::slot_at(0, abi::slot::monitor)} {}

    Result<> begin();

    /// `card`: how many came before it.
    async::Task<> start(const hw::PciFunction& function, const DriverEntry& driver, unsigned card);

    /// Its drivers run no more; their devices still do.
    void silence_devices_of(CoreId core) override;

  private:
    /// The spawner of a core with drivers: it says when one has ended.
    struct Spawner {
        Spawner(os::Domain& self, Keeper& drivers, unsigned on)
            : core{on}, keeper{drivers}, link{self} {}

        void silence(const interfaces::spawn::SilenceArguments& a) { keeper.silence(*this, a.id); }

        void wake(const interfaces::spawn::WakeArguments& a) { keeper.wake(*this, a.first, a.id); }

        unsigned core;
        Keeper& keeper;
        os::Binding link;
    };

    /// With what its channel needs to find it.
    struct LinkedSpawner {
        LinkedSpawner(os::Domain& self, Keeper& keeper, unsigned on) : spawner{self, keeper, on} {}

        Spawner spawner;
        interfaces::spawn::ClientSide<Spawner> side{spawner};
    };

    /// A function that has a driver.
    struct Driven {
        hw::PciFunction function;
        const DriverEntry* driver{};
        Spawner* spawner{};
        uint32_t first{};  // number there of the domain it was started for; 0: not known yet
        uint32_t domain{}; // of the one that drives it now
        uint32_t ended{};  // of one that had ended before its number was known
        os::OwnedCap window;
        std::optional<os::Registers> registers;
    };

    async::Task<> start_on(
        unsigned core,
        hw::PciFunction function,
        const DriverEntry& driver,
        unsigned card,
        Text<16> image,
        Result<Line> line
    );
    Result<> learn_stack_place();
    Text<16> image_for(const DriverEntry& driver, unsigned card) const;
    Result<os::OwnedCap> registers_at(const WindowPart& part);
    Result<> hand(unsigned core, std::string_view label, const os::OwnedCap& what);
    async::Task<Spawner*> spawner_on(unsigned core);
    Result<LinkedSpawner*> linked(unsigned core);

    void silence(Driven& driven);
    void silence(Spawner& spawner, uint32_t domain);
    void wake(Spawner& spawner, uint32_t first, uint32_t domain);
    async::Task<> answer_silent(Spawner& spawner, uint32_t domain);
    async::Task<> answer_ready(Spawner& spawner, uint32_t domain);
    Driven* driven_by(const Spawner& spawner, uint32_t domain);
    void note_early(const Spawner& spawner, uint32_t domain);

    os::Domain& self_;
    Config& config_;
    Lines& lines_;
    os::LocalClient<interfaces::monitor::Client> monitor_;
    Text<16> stack_with_; // the driver whose domain the network stack shares; empty: none
    os::CapSlot window_{};
    uint64_t window_begin_{}, window_end_{};
    std::array<LinkedSpawner*, 8> spawners_{}; // for good
    std::array<Driven, 8> driven_{};
};

} // namespace pci
