// The PCI service: finds the functions, starts for each known card the driver it has in the bundle,
// with exactly its registers and its interrupt, and holds the interrupt lines. Service "pci".
#include "drivers/pci/config.hpp"
#include "drivers/pci/drivers.hpp"
#include "drivers/pci/routing.hpp"
#include "drivers/pci/scan.hpp"
#include "drivers/pci/silence.hpp"
#include "interfaces/monitor.hpp"
#include "interfaces/pci.hpp"
#include "interfaces/spawn.hpp"
#include "lib/abi/boot_info.hpp"
#include "lib/base/log.hpp"
#include "lib/os/cores.hpp"
#include "lib/os/device.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/interrupt.hpp"
#include "lib/os/local.hpp"
#include "lib/os/spawners.hpp"

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

/// A function whose driver is on another core: its line is bound here, and told by event.
struct Forwarded {
    explicit Forwarded(os::Domain& self) : interrupt{self} {}

    uint32_t address{};
    OwnedCap line;
    os::Interrupt interrupt;
    Client* client{};
};

/// The spawner of a core with drivers: it says when one has ended.
struct Spawner {
    Spawner(os::Domain& self, class Pci& service, unsigned on)
        : core{on}, pci{service}, link{self} {}

    void silence(const interfaces::spawn::SilenceArguments& a);
    void wake(const interfaces::spawn::WakeArguments& a);

    unsigned core;
    class Pci& pci;
    os::Binding link;
};

/// With what its channel needs to find it.
struct LinkedSpawner {
    LinkedSpawner(os::Domain& self, Pci& service, unsigned on) : spawner{self, service, on} {}

    Spawner spawner;
    interfaces::spawn::ClientSide<Spawner> side{spawner};
};

/// A function that has a driver.
struct Driven {
    PciFunction function;
    const pci::DriverEntry* driver{};
    Spawner* spawner{};
    uint32_t first{}; // number there of the domain it was started for; 0: of which is not known yet
    uint32_t domain{}; // of the one that drives it now
    uint32_t ended{};  // of one that had ended before its number was known
    OwnedCap window;
    std::optional<os::Registers> registers;
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
        unsigned cards = 0;
        for (const PciFunction& function : found_.functions) {
            const pci::DriverEntry* const driver = pci::driver_of(function);
            if (driver == nullptr) continue;
            const auto started = co_await async::result_of(start(function, *driver, cards++));
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

    // -- for Spawner --

    void silence(Spawner& spawner, uint32_t domain);
    void wake(Spawner& spawner, uint32_t first, uint32_t domain);

    // -- for Client --

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
        return os::part_of(lines_, abi::Kind::interrupt, gsi - first_line_, 1);
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

    /// `card`: how many came before it.
    async::Task<>
    start(const PciFunction& function, const pci::DriverEntry& driver, unsigned card) {
        const auto line = line_of(function);
        if (!line)
            log::warn("{} has no interrupt that is known: it is polled", Written{function.at});
        const auto placed = self_.settings().core_for(driver.program);
        unsigned core = placed ? placed->raw % self_.core_count() : self_.core().raw;
        if (!co_await async::result_of(spawner_on(core))) {
            log::warn("{} is not placed on core {}, which is not there", driver.program, core);
            core = self_.core().raw;
        }
        co_await start_on(core, function, driver, card, line);
        log::info("{} drives {} on core {}", driver.program, Written{function.at}, core);
        co_return {};
    }

    /// Which card it is, and how the driver binds its line: docs/pci.md.
    static std::string_view arguments_of(
        std::span<char> out,
        bool here,
        const PciFunction& function,
        unsigned card,
        const Result<Line>& line
    ) {
        TextWriter text{out};
        format(text, "nic={} device={}", card, function.device);
        if (line && here) format(text, " mode={}", std::to_underlying(line->mode));
        if (line && !here) format(text, " pci={}", function.at.raw());
        return text.text();
    }

    /// The registers go to the driver's core; the line too if that is ours, else it stays here and
    /// is forwarded. We keep a view of the registers, for the reset after the driver's end.
    async::Task<> start_on(
        unsigned core,
        PciFunction function,
        const pci::DriverEntry& driver,
        unsigned card,
        Result<Line> line
    ) {
        const bool here = core == self_.core().raw;
        const auto place = std::ranges::find(driven_, nullptr, &Driven::driver);
        if (place == driven_.end()) co_await fail(Err::no_space);
        Spawner& spawner = *co_await spawner_on(core);
        std::array<char, 64> labels;
        TextWriter text{labels};
        const pci::WindowPart part =
            co_await pci::registers_of(function, driver, window_begin_, window_end_);
        format(text, "{}", driver.registers);
        OwnedCap ours = co_await registers_at(part);
        if (here) { // both of us have it
            const OwnedCap theirs{co_await os::slots().copy(ours.slot())};
            co_await hand(core, driver.registers, theirs);
        } else { // what is handed to another core is gone here; we hold the window around it
            co_await hand(core, driver.registers, ours);
            ours = co_await registers_at(part);
        }
        if (line && !here) co_await forward(function.at.raw(), *line);
        if (line && here) {
            format(text, " {}", driver.interrupt);
            co_await hand(core, driver.interrupt, co_await take_line(line->gsi));
        }
        place->registers.emplace(co_await os::Registers::open(ours.slot()));
        place->window = std::move(ours);
        pci::enable(*config_, function.at, {.memory = true, .bus_master = true, .intx = true});
        interfaces::spawn::Client client{spawner.link.channel()};
        std::array<char, 48> arguments;
        place->function = function;
        place->driver = &driver;
        place->spawner = &spawner;
        const auto started = co_await async::result_of(client.spawn_with(
            Text<16>::cut(driver.program),
            Text<128>::cut(arguments_of(arguments, here, function, card, line)),
            {},
            0,
            0,
            Text<128>::cut(text.text())
        ));
        if (!started) {
            silence(*place);
            *place = Driven{};
            co_await fail(started.error());
        }
        place->first = place->domain = started->id;
        if (place->ended == started->id) silence(spawner, started->id);
        co_return {};
    }

    void silence(Driven& driven) {
        hw::Mmio registers = driven.registers->mmio();
        pci::silence(*config_, driven.function.at, *driven.driver, registers);
    }

    Result<OwnedCap> registers_at(const pci::WindowPart& part) {
        return os::part_of(window_, abi::Kind::device_frame, part.offset, part.bytes);
    }

    Result<> hand(unsigned core, std::string_view label, const OwnedCap& what) {
        const auto to = CoreId{{static_cast<uint8_t>(core)}};
        return monitor_->hand(to, Text<16>::cut(label), what.slot());
    }

    /// The link to that core's spawner, which stays. Errors: timed_out, those of Binding::open.
    async::Task<Spawner*> spawner_on(unsigned core) {
        LinkedSpawner& there = *co_await linked(core);
        // It may have been started with this one.
        const Duration patience = os::patience_of(self_.core_count()) * 4;
        const CoreId which{{static_cast<uint8_t>(core)}};
        co_await os::bind_spawner(self_, there.spawner.link, which, patience, &there.side);
        co_return &there.spawner;
    }

    /// Open or not.
    Result<LinkedSpawner*> linked(unsigned core) {
        for (LinkedSpawner* known : spawners_)
            if (known != nullptr && known->spawner.core == core) return known;
        const auto place = std::ranges::find(spawners_, nullptr);
        if (place == spawners_.end()) return fail(Err::no_space);
        *place = new (std::nothrow) LinkedSpawner{self_, *this, core};
        if (*place == nullptr) return fail(Err::no_memory);
        return *place;
    }

    async::Task<> answer_silent(Spawner& spawner, uint32_t domain);
    async::Task<> answer_ready(Spawner& spawner, uint32_t domain);
    Driven* driven_by(const Spawner& spawner, uint32_t domain);
    void note_early(const Spawner& spawner, uint32_t domain);

    Result<> forward(uint32_t address, Line line) {
        const auto place = std::ranges::find(forwarded_, nullptr);
        if (place == forwarded_.end()) return fail(Err::no_space);
        Forwarded* const made = new (std::nothrow) Forwarded{self_};
        if (made == nullptr) return fail(Err::no_memory);
        *place = made; // for good: a function stays where it is
        made->address = address;
        made->line = TRY(take_line(line.gsi));
        TRY_VOID(made->interrupt.open(made->line.slot(), line.mode));
        return self_.loop().spawn("forward an interrupt", [&] { return tell_of(*made); });
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
    std::array<LinkedSpawner*, 8> spawners_{}; // for good
    std::array<Driven, 8> driven_{};
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

void Spawner::silence(const interfaces::spawn::SilenceArguments& a) {
    pci.silence(*this, a.id);
}

void Spawner::wake(const interfaces::spawn::WakeArguments& a) {
    pci.wake(*this, a.first, a.id);
}

Driven* Pci::driven_by(const Spawner& spawner, uint32_t domain) {
    for (Driven& d : driven_)
        if (d.driver != nullptr && d.spawner == &spawner && d.domain == domain) return &d;
    return nullptr;
}

/// The driver has ended, in whatever state its card was.
void Pci::silence(Spawner& spawner, uint32_t domain) {
    Driven* const driven = driven_by(spawner, domain);
    if (driven == nullptr) return note_early(spawner, domain);
    silence(*driven);
    log::info("{} is silent: its driver has ended", Written{driven->function.at});
    if (!self_.loop().spawn("a device is silent", [&] { return answer_silent(spawner, domain); }))
        log::error("the spawner of core {} waits for a silent device", spawner.core);
}

/// The answer of spawn_with, which says who that is, may lie behind it.
void Pci::note_early(const Spawner& spawner, uint32_t domain) {
    for (Driven& d : driven_)
        if (d.driver != nullptr && d.spawner == &spawner && d.first == 0) d.ended = domain;
}

async::Task<> Pci::answer_silent(Spawner& spawner, uint32_t domain) {
    co_await interfaces::spawn::Client{spawner.link.channel()}.silent(domain);
    co_return {};
}

void Pci::wake(Spawner& spawner, uint32_t first, uint32_t domain) {
    const auto driven = std::ranges::find_if(driven_, [&](const Driven& d) {
        return d.driver != nullptr && d.spawner == &spawner && d.first == first;
    });
    if (driven == driven_.end()) return;
    driven->domain = domain;
    const hw::PciAddress at = driven->function.at;
    pci::enable(*config_, at, {.memory = true, .bus_master = true, .intx = true});
    if (!self_.loop().spawn("a device may go on", [&] { return answer_ready(spawner, domain); }))
        log::error("the spawner of core {} waits for a device", spawner.core);
}

async::Task<> Pci::answer_ready(Spawner& spawner, uint32_t domain) {
    co_await interfaces::spawn::Client{spawner.link.channel()}.ready(domain);
    co_return {};
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
