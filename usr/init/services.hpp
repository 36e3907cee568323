// What core 0's init starts besides the first domains: core boot, then the manifest's services,
// each on its core with its devices.
#pragma once

#include "interfaces/launch.hpp"
#include "interfaces/monitor.hpp"
#include "lib/abi/boot_info.hpp"
#include "lib/async/loop.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/manifest.hpp"
#include "usr/init/first_domains.hpp"

namespace init {

class Services {
  public:
    /// `domains` has started everything.
    Services(os::Domain& self, const FirstDomains& domains, const os::Manifest& manifest)
        : self_{self}, domains_{domains}, manifest_{manifest}, launch_{domains.launch()},
          monitor_{domains.monitor()} {}

    /// Copies what it needs from the hand-over page.
    Result<> begin();

    /// Starts the other cores. Errors: not_found (no image), and those of launch.if.
    Result<> start_core_boot();

    /// Starts what the manifest puts on this core, in its order.
    void start_local();

    /// Starts what it puts on the other cores, as they come up. What was placed on a core that does
    /// not come up is started here instead.
    void start_remote();

  private:
    using Entry = os::DomainEntry;

    bool is_wanted(const Entry& entry) const;
    bool starts(const Entry& entry) const;
    unsigned place_of(const Entry& entry) const;
    void start_here(const Entry& program);
    Result<> launch(const Entry& entry);
    Result<> give(uint32_t id, std::string_view name, os::CapSlot what);
    async::Task<> start_on(unsigned core);
    async::Task<> start_there(unsigned core, os::Binding& link);
    async::Task<bool> comes_up(unsigned core);
    Text<128> hand(unsigned core, const Entry& entry);
    Result<> hand(unsigned core, std::string_view label);
    Result<os::CapSlot> device(std::string_view label);
    Result<os::CapSlot> make_device(const os::DeviceEntry& device);

    os::Domain& self_;
    const FirstDomains& domains_;
    const os::Manifest& manifest_;
    os::LocalClient<interfaces::launch::Client> launch_;
    os::LocalClient<interfaces::monitor::Client> monitor_;
    std::array<uint8_t, 16> isa_lines_{};
    uint64_t core_count_{};
    bool cores_start_{};
    std::array<os::CapSlot, os::Manifest::max_devices> devices_{
    }; // made so far, as in the manifest
};

} // namespace init
