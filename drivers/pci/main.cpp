// The PCI service: finds the functions, starts for each known card the driver it has in the bundle,
// with exactly its registers and its interrupt, and holds the interrupt lines. Service "pci".
#include "drivers/pci/domain/keeper.hpp"
#include "drivers/pci/scan.hpp"
#include "interfaces/pci.hpp"
#include "lib/base/log.hpp"
#include "lib/os/immortal.hpp"

namespace {

namespace api = interfaces::pci;
using hw::PciFunction;
using pci::Written;

class Pci {
  public:
    Pci(os::Domain& self, os::CapSlot ports)
        : ports_{ports}, config_{ports_}, lines_{self, config_}, keeper_{self, config_, lines_} {}

    Result<> begin() {
        TRY_VOID(lines_.begin());
        return keeper_.begin();
    }

    /// Finds all functions and starts their drivers.
    async::Task<> run() {
        found_ = pci::scan(config_);
        lines_.set_router(pci::find_router(found_.functions.entries()));
        for (const PciFunction& function : found_.functions) {
            tell(function);
            // Whoever had it before, we would not know to silence it.
            if (pci::driver_of(function) != nullptr) pci::enable(config_, function.at, {});
        }
        if (found_.bad_bars + found_.bad_capabilities + found_.bridges_skipped > 0)
            log::warn(
                "pci: {} windows, {} capability lists, {} bridges could not be understood",
                found_.bad_bars,
                found_.bad_capabilities,
                found_.bridges_skipped
            );
        unsigned cards = 0;
        for (const PciFunction& function : found_.functions) {
            const pci::DriverEntry* const driver = pci::driver_of(function);
            if (driver == nullptr) continue;
            const auto started =
                co_await async::result_of(keeper_.start(function, *driver, cards++));
            if (!started)
                log::error(
                    "{} for {} cannot start: {}",
                    driver->program,
                    Written{function.at},
                    started.error()
                );
        }
        if (cards == 0)
            log::warn("no network card that a driver here knows: the system goes on without");
        co_return {};
    }

    // -- for Client --

    Result<api::FunctionAtResult> function_at(uint32_t index) {
        if (index >= found_.functions.size()) return fail(Err::not_found);
        const PciFunction& f = found_.functions[index];
        const auto line = lines_.line_of(f);
        const pci::DriverEntry* const driver = pci::driver_of(f);
        return api::FunctionAtResult{
            .address = f.at.raw(),
            .vendor = f.vendor,
            .device = f.device,
            .class_code = f.class_code(),
            .gsi = line ? line->gsi : 0,
            .driver = Text<16>::cut(driver != nullptr ? driver->program : ""),
        };
    }

    pci::Lines& lines() { return lines_; }

  private:
    void tell(const PciFunction& f) {
        const pci::DriverEntry* const driver = pci::driver_of(f);
        const std::string_view who = driver != nullptr ? driver->program : "no driver";
        std::array<char, 16> text;
        const auto line = lines_.line_of(f);
        const std::string_view gsi = line ? format_to(text, "line {}", line->gsi)
                                          : std::string_view{f.root_pin == 0 ? "" : "line unknown"};
        log::info(
            "pci {} {:04x}:{:04x} class {:06x} {} {}",
            Written{f.at},
            f.vendor,
            f.device,
            f.class_code(),
            who,
            gsi
        );
    }

    os::Ports ports_;
    pci::Config config_;
    pci::Lines lines_;
    pci::Keeper keeper_;
    pci::Inventory found_{};
};

/// One client of the service.
class Client final : public pci::LineUser {
  public:
    Client(os::Session& session, Pci& pci) : session_{session}, pci_{pci} {}

    ~Client() { pci_.lines().gone(*this); }

    async::Task<api::FunctionAtResult> function_at(api::FunctionAtArguments a) {
        co_return pci_.function_at(a.index);
    }

    async::Task<> route_isa(api::RouteIsaArguments a) {
        co_return pci_.lines().route_isa(a.irq, *this, session_.bell());
    }

    async::Task<> claim(api::ClaimArguments a) { co_return pci_.lines().claim(a.address, *this); }

    void interrupt_done(const api::InterruptDoneArguments& a) {
        pci_.lines().interrupt_done(a.address, *this);
    }

    /// A line is masked until it was served, so at most one such event is under way for each.
    Result<> tell(uint32_t address) override {
        return api::Events{session_.channel()}.try_interrupt(address);
    }

  private:
    os::Session& session_;
    Pci& pci_;
};

using Service = os::ServiceOf<Client, api::ServerSide<Client>, Pci>;

constinit os::Immortal<Pci> pci_domain;
constinit os::Immortal<Service> service;

Result<> begin(os::Domain& self) {
    pci_domain.make(self, TRY(self.find_given("pci.config")));
    TRY_VOID(pci_domain->begin());
    service.make(
        "pci", api::contract, *pci_domain, os::Service::Limits{.bulk_bytes = 0, .task_bytes = 4096}
    );
    TRY_VOID(os::offer(self, *service));
    return self.loop().spawn("drivers", [&] { return pci_domain->run(); });
}

} // namespace

int domain_main(os::Domain& self) {
    if (const auto done = begin(self); !done) {
        log::error("pci cannot start: {}", done.error());
        return 1;
    }
    return self.serve();
}
