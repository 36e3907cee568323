// The PCI service: finds the functions, starts for each known card the driver it has in the bundle,
// with exactly its registers and its interrupt, and holds the interrupt lines. Service "pci".
#include "drivers/pci/config.hpp"
#include "drivers/pci/drivers.hpp"
#include "drivers/pci/routing.hpp"
#include "drivers/pci/scan.hpp"
#include "interfaces/launch.hpp"
#include "interfaces/monitor.hpp"
#include "interfaces/pci.hpp"
#include "interfaces/spawn.hpp"
#include "lib/abi/boot_info.hpp"
#include "lib/base/log.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/device.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/interrupt.hpp"
#include "lib/os/local.hpp"

namespace {

namespace api = interfaces::pci;
using abi::InterruptMode;
using hw::PciAddress, hw::PciFunction;
using os::CapSlot, os::OwnedCap;

class Client;

/// What the board says about its interrupts, by the hand-over page.
struct Board {
    std::array<uint8_t, 16> isa_line{};
    std::array<uint8_t, 16> isa_mode{};
};

struct Line {
    uint32_t gsi{};
    InterruptMode mode{};
};

bool is_level(InterruptMode mode) {
    return mode == InterruptMode::level_high || mode == InterruptMode::level_low;
}

/// As it is usually written: bus:device.function.
struct Written {
    PciAddress at;
};

void format_value(TextWriter& out, const Written& w) {
    format(out, "{:02x}:{:02x}.{}", w.at.bus, w.at.device, w.at.function);
}

/// A part of a capability that is a range.
Result<OwnedCap> part_of(CapSlot whole, abi::Kind kind, uint64_t offset, uint64_t bytes) {
    OwnedCap part{TRY(os::slots().take())};
    const os::Place at = os::place_of(part.slot());
    TRY_VOID((os::CNode{{at.cnode}}.retype(at.index, whole, kind, offset, bytes)));
    return part;
}

/// A function whose driver is on another core: its line is bound here, and told by event.
struct Forwarded {
    explicit Forwarded(os::Domain& self) : interrupt{self} {}

    uint32_t address{};
    OwnedCap line;
    os::Interrupt interrupt;
    Client* client{};
};

class Pci {
  public:
    explicit Pci(os::Domain& self) : self_{self}, monitor_{abi::slot_at(0, abi::slot::monitor)} {}

    Result<> begin() {
        TRY_VOID(learn_board());
        const CapSlot ports = TRY(self_.find_given("pci.config"));
        ports_.emplace(ports);
        config_.emplace(*ports_);
        window_ = TRY(self_.find_given("pci.window"));
        const os::Description window = TRY(os::describe(window_));
        window_begin_ = window.base;
        window_end_ = window.base + window.bytes;
        lines_ = TRY(self_.find_given("pci.lines"));
        const os::Description lines = TRY(os::describe(lines_));
        first_line_ = static_cast<uint32_t>(lines.base - abi::interrupt_space);
        line_count_ = static_cast<uint32_t>(lines.bytes);
        return {};
    }

    /// Finds all functions and starts their drivers.
    async::Task<> run() {
        found_ = pci::scan(*config_);
        router_ = pci::find_router(found_.functions.entries());
        for (const PciFunction& function : found_.functions)
            tell(function);
        if (found_.bad_bars + found_.bad_capabilities + found_.bridges_skipped > 0)
            log::warn(
                "pci: {} windows, {} capability lists, {} bridges could not be understood",
                found_.bad_bars,
                found_.bad_capabilities,
                found_.bridges_skipped
            );
        bool any = false;
        for (const PciFunction& function : found_.functions) {
            const pci::DriverEntry* const driver = pci::driver_of(function);
            if (driver == nullptr) continue;
            any = true;
            const auto started = co_await async::result_of(start(function, *driver));
            if (!started)
                log::error(
                    "{} for {} cannot start: {}",
                    driver->program,
                    Written{function.at},
                    started.error()
                );
        }
        if (!any) log::warn("no network card that a driver here knows: the system goes on without");
        co_return {};
    }

    // -- for Client --

    Result<api::FunctionAtResult> function_at(uint32_t index) {
        if (index >= found_.functions.size()) return fail(Err::not_found);
        const PciFunction& f = found_.functions[index];
        const auto line = line_of(f);
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

    Result<> route_isa(uint32_t irq, Client& client, CapSlot bell);
    Result<> claim(uint32_t address, Client& client);

    void interrupt_done(uint32_t address, const Client& client) {
        for (Forwarded* f : forwarded_)
            if (f != nullptr && f->address == address && f->client == &client)
                (void)f->interrupt.acknowledge();
    }

    void gone(const Client& client) {
        for (IsaRoute& route : isa_)
            if (route.client == &client) route = IsaRoute{};
        for (Forwarded* f : forwarded_)
            if (f != nullptr && f->client == &client) f->client = nullptr;
    }

  private:
    struct IsaRoute {
        OwnedCap line; // deleting it masks it
        Client* client{};
    };

    Result<> learn_board() {
        const CapSlot frame = TRY(self_.find_given("boot.info"));
        const os::View view = TRY(os::View::make(frame, 0, page_bytes, abi::read));
        const auto& info = *view.as<const abi::BootInfo>();
        if (info.magic != abi::boot_info_magic) return fail(Err::malformed);
        board_ = {info.irq_gsi, info.irq_mode};
        return {};
    }

    /// An INTx is a level; an override of the firmware may only say that it is active high.
    Result<Line> line_of(const PciFunction& function) {
        const pci::IntxRoute route = TRY(pci::route_intx(*config_, router_, function));
        if (!route.isa) return Line{route.gsi, InterruptMode::level_low};
        if (route.gsi >= board_.isa_line.size()) return fail(Err::device_fault);
        const auto mode = InterruptMode{board_.isa_mode[route.gsi]};
        const bool low = mode == InterruptMode::level_low || mode == InterruptMode::edge_low;
        return Line{
            board_.isa_line[route.gsi], low ? InterruptMode::level_low : InterruptMode::level_high
        };
    }

    Result<OwnedCap> take_line(uint32_t gsi) {
        if (gsi < first_line_ || gsi - first_line_ >= line_count_) return fail(Err::range_bounds);
        return part_of(lines_, abi::Kind::interrupt, gsi - first_line_, 1);
    }

    void tell(const PciFunction& f) {
        const pci::DriverEntry* const driver = pci::driver_of(f);
        const std::string_view who = driver != nullptr ? driver->program : "no driver";
        std::array<char, 16> text;
        const auto line = line_of(f);
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

    async::Task<> start(const PciFunction& function, const pci::DriverEntry& driver) {
        const pci::WindowPart part =
            co_await pci::registers_of(function, driver, window_begin_, window_end_);
        const OwnedCap registers =
            co_await part_of(window_, abi::Kind::device_frame, part.offset, part.bytes);
        const auto line = line_of(function);
        if (!line)
            log::warn("{} has no interrupt that is known: it is polled", Written{function.at});
        pci::enable(*config_, function.at, {.memory = true, .bus_master = true, .intx = true});
        const auto placed = self_.settings().core_for(driver.program);
        const unsigned core = placed ? placed->raw % self_.core_count() : self_.core().raw;
        if (core == self_.core().raw)
            co_await start_here(driver, registers.slot(), line);
        else
            co_await start_there(core, function, driver, registers.slot(), line);
        log::info("{} drives {} on core {}", driver.program, Written{function.at}, core);
        co_return {};
    }

    /// How the driver binds its line: docs/pci.md.
    static std::string_view mode_argument(std::span<char> out, const Result<Line>& line) {
        return line ? format_to(out, "mode={}", std::to_underlying(line->mode)) : "";
    }

    Result<>
    start_here(const pci::DriverEntry& driver, CapSlot registers, const Result<Line>& line) {
        os::LocalClient<interfaces::launch::Client> launch{TRY(self_.find_given("launch"))};
        const uint32_t id = TRY(launch->prepare(Text<16>::cut(driver.program), 0, 0)).id;
        const auto done = [&]() -> Result<> {
            TRY_VOID(launch->give(id, Text<16>::cut(driver.registers), registers));
            if (line) {
                const OwnedCap cap = TRY(take_line(line->gsi));
                TRY_VOID(launch->give(id, Text<16>::cut(driver.interrupt), cap.slot()));
            }
            std::array<char, 32> text;
            TRY_VOID(launch->argument(id, Text<32>::cut(mode_argument(text, line))));
            return launch->start(id);
        }();
        if (!done) (void)launch->kill(id);
        return done;
    }

    /// The registers leave this core; the line stays and is forwarded.
    async::Task<> start_there(
        unsigned core,
        PciFunction function,
        const pci::DriverEntry& driver,
        CapSlot registers,
        Result<Line> line
    ) {
        if (line) co_await forward(function.at.raw(), *line);
        const auto label = Text<16>::cut(driver.registers);
        co_await monitor_->hand({{static_cast<uint8_t>(core)}}, label, registers);
        std::array<char, 16> service;
        os::Binding link{self_};
        const std::string_view name = format_to(service, "spawn.{}", core);
        co_await link.open({.name = name, .contract = interfaces::spawn::contract});
        interfaces::spawn::Client spawner{link.channel()};
        std::array<char, 32> text;
        const auto arguments = Text<128>::cut(
            line ? format_to(text, "pci={}", function.at.raw()) : std::string_view{}
        );
        const auto image = Text<16>::cut(driver.program);
        co_await spawner.spawn_with(image, arguments, 0, 0, Text<128>::cut(driver.registers));
        co_return {};
    }

    Result<> forward(uint32_t address, Line line) {
        const auto place = std::ranges::find(forwarded_, nullptr);
        if (place == forwarded_.end()) return fail(Err::no_space);
        Forwarded* const made = new (std::nothrow) Forwarded{self_};
        if (made == nullptr) return fail(Err::no_memory);
        *place = made; // for good: a function stays where it is
        made->address = address;
        made->line = TRY(take_line(line.gsi));
        TRY_VOID(made->interrupt.open(made->line.slot(), line.mode));
        return self_.loop().spawn("forward an interrupt", tell_of(*made));
    }

    static async::Task<> tell_of(Forwarded& f);

    os::Domain& self_;
    os::LocalClient<interfaces::monitor::Client> monitor_;
    Board board_;
    std::optional<os::Ports> ports_;
    std::optional<pci::PortConfig<os::Ports>> config_;
    CapSlot window_{}, lines_{};
    uint64_t window_begin_{}, window_end_{};
    uint32_t first_line_{}, line_count_{};
    pci::Inventory found_{};
    pci::Router router_{};
    std::array<IsaRoute, 16> isa_{};
    std::array<Forwarded*, 8> forwarded_{};
};

/// One client of the service.
class Client {
  public:
    Client(os::Session& session, Pci& pci) : session_{session}, pci_{pci} {}

    ~Client() { pci_.gone(*this); }

    async::Task<api::FunctionAtResult> function_at(api::FunctionAtArguments a) {
        co_return pci_.function_at(a.index);
    }

    async::Task<> route_isa(api::RouteIsaArguments a) {
        co_return pci_.route_isa(a.irq, *this, session_.bell());
    }

    async::Task<> claim(api::ClaimArguments a) { co_return pci_.claim(a.address, *this); }

    void interrupt_done(const api::InterruptDoneArguments& a) {
        pci_.interrupt_done(a.address, *this);
    }

    /// A line is masked until it was served, so at most one such event is under way for each.
    Result<> tell(uint32_t address) {
        return api::Events{session_.channel()}.try_interrupt(address);
    }

  private:
    os::Session& session_;
    Pci& pci_;
};

async::Task<> Pci::tell_of(Forwarded& f) {
    for (;;) {
        co_await f.interrupt.wait();
        if (f.client != nullptr && !f.client->tell(f.address))
            log::warn("interrupt of {} is lost: its driver does not listen", f.address);
    }
}

/// The line goes straight to the client's core; this service is not in its way.
Result<> Pci::route_isa(uint32_t irq, Client& client, CapSlot bell) {
    if (irq >= isa_.size()) return fail(Err::bad_argument);
    const auto mode = InterruptMode{board_.isa_mode[irq]};
    if (is_level(mode)) return fail(Err::unsupported);
    if (isa_[irq].client != nullptr && isa_[irq].client != &client) return fail(Err::busy);
    isa_[irq] = IsaRoute{};
    OwnedCap line = TRY(take_line(board_.isa_line[irq]));
    TRY_VOID((os::InterruptLine{{line.slot()}}.bind(bell, mode)));
    isa_[irq].line = std::move(line);
    isa_[irq].client = &client;
    return {};
}

Result<> Pci::claim(uint32_t address, Client& client) {
    for (Forwarded* f : forwarded_) {
        if (f == nullptr || f->address != address) continue;
        if (f->client != nullptr && f->client != &client) return fail(Err::busy);
        f->client = &client;
        // One may have fired while nobody listened.
        return f->interrupt.acknowledge();
    }
    return fail(Err::not_found);
}

using Service = os::ServiceOf<Client, api::ServerSide<Client>, Pci>;

constinit os::Immortal<Pci> pci_domain;
constinit os::Immortal<Service> service;

Result<> begin(os::Domain& self) {
    pci_domain.make(self);
    TRY_VOID(pci_domain->begin());
    service.make(
        "pci", api::contract, *pci_domain, os::Service::Limits{.bulk_bytes = 0, .task_bytes = 4096}
    );
    TRY_VOID(os::offer(self, *service));
    return self.loop().spawn("drivers", pci_domain->run());
}

} // namespace

int domain_main(os::Domain& self) {
    if (const auto done = begin(self); !done) {
        log::error("pci cannot start: {}", done.error());
        return 1;
    }
    return self.serve();
}
