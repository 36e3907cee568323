// The interrupt lines of the machine, which this service holds: where a function's INTx arrives,
// lines that go straight to a client's core, and those of drivers on other cores, which are bound
// here and told by event.
#pragma once

#include "drivers/pci/config.hpp"
#include "drivers/pci/routing.hpp"
#include "lib/abi/boot_info.hpp"
#include "lib/os/device.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/interrupt.hpp"

namespace pci {

using Config = PortConfig<os::Ports>;

struct Line {
    uint32_t gsi{};
    abi::InterruptMode mode{};
};

/// Who hears of an interrupt by event.
class LineUser {
  public:
    virtual Result<> tell(uint32_t address) = 0;

  protected:
    ~LineUser() = default;
};

class Lines {
  public:
    Lines(os::Domain& self, Config& config) : self_{self}, config_{config} {}

    Result<> begin();

    void set_router(const Router& router) { router_ = router; }

    /// Where the function's INTx arrives. Errors: those of route_intx.
    Result<Line> line_of(const hw::PciFunction& function);
    Result<os::OwnedCap> take(uint32_t gsi);
    /// The function's driver is on another core, and will `claim` it.
    Result<> forward(uint32_t address, Line line);

    Result<> route_isa(uint32_t irq, LineUser& user, os::CapSlot bell);
    Result<> claim(uint32_t address, LineUser& user);
    void interrupt_done(uint32_t address, const LineUser& user);
    void gone(const LineUser& user);

  private:
    struct IsaRoute {
        os::OwnedCap line; // deleting it masks it
        LineUser* user{};
    };

    struct Forwarded {
        explicit Forwarded(os::Domain& self) : interrupt{self} {}

        uint32_t address{};
        os::OwnedCap line;
        os::Interrupt interrupt;
        LineUser* user{};
    };

    Result<> learn_board();
    static async::Task<> tell_of(Forwarded& f);

    os::Domain& self_;
    Config& config_;
    Router router_{};
    os::CapSlot lines_{};
    uint32_t first_line_{}, line_count_{};
    // What the board says about its interrupts, by the hand-over page.
    std::array<uint8_t, 16> isa_line_{}, isa_mode_{};
    std::array<IsaRoute, 16> isa_{};
    std::array<Forwarded*, 8> forwarded_{};
};

} // namespace pci
