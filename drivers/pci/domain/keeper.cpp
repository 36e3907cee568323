#include "drivers/pci/domain/keeper.hpp"

#include <algorithm>

#include "drivers/pci/silence.hpp"
#include "lib/base/bundle.hpp"
#include "lib/base/log.hpp"
#include "lib/os/cores.hpp"
#include "lib/os/manifest.hpp"
#include "lib/os/spawners.hpp"

namespace pci {

using os::OwnedCap;

namespace {

/// Which card it is, and how the driver binds its line: docs/pci.md.
std::string_view arguments_of(
    std::span<char> out,
    bool here,
    const hw::PciFunction& function,
    unsigned card,
    const Result<Line>& line
) {
    TextWriter text{out};
    format(text, "nic={} device={}", card, function.device);
    if (line && here) format(text, " mode={}", std::to_underlying(line->mode));
    if (line && !here) format(text, " pci={}", function.at.raw());
    return text.text();
}

} // namespace

Result<> Keeper::begin() {
    window_ = TRY(self_.find_given("pci.window"));
    const os::Description window = TRY(os::describe(window_));
    window_begin_ = window.base;
    window_end_ = window.base + window.bytes;
    if (const auto learnt = learn_stack_place(); !learnt)
        log::warn("manifest cannot be read: {}", learnt.error());
    os::binder().keep_devices(*this);
    return {};
}

/// By the same manifest as init's, which does not start a stack that shares a domain.
Result<> Keeper::learn_stack_place() {
    const os::CapSlot frame = TRY(self_.find_given("bundle"));
    const os::View view = TRY(os::View::make(frame, 0, TRY(os::describe(frame)).bytes, abi::read));
    const auto files = TRY(bundle::Bundle::parse(view.span()));
    const Bytes data = TRY(files.find("manifest")).data;
    const void* const text = data.data();
    const auto manifest = os::Manifest::parse(
        {static_cast<const char*>(text), data.size()}, [](const os::Manifest::Problem&) {}
        // init tells of them
    );
    stack_with_ = Text<16>::cut(manifest.shared_with("netd", self_.settings()));
    return {};
}

/// The driver, the driver with the stack, or whoever `place=nic.N:PROGRAM` gives that card to.
Text<16> Keeper::image_for(const DriverEntry& driver, unsigned card) const {
    std::array<char, 16> text;
    const auto owner = self_.settings().shared_with(format_to(text, "nic.{}", card));
    if (!owner.empty()) return Text<16>::cut(owner);
    if (card != 0 || stack_with_.view() != driver.program) return Text<16>::cut(driver.program);
    return Text<16>::cut(format_to(text, "{}-netd", driver.program));
}

async::Task<>
Keeper::start(const hw::PciFunction& function, const DriverEntry& driver, unsigned card) {
    const auto line = lines_.line_of(function);
    if (!line) log::warn("{} has no interrupt that is known: it is polled", Written{function.at});
    const Text<16> image = image_for(driver, card);
    auto placed = self_.settings().core_for(image.view());
    if (!placed) placed = self_.settings().core_for(driver.program);
    unsigned core = placed ? placed->raw % self_.core_count() : self_.core().raw;
    if (!co_await async::result_of(spawner_on(core))) {
        log::warn("{} is not placed on core {}, which is not there", driver.program, core);
        core = self_.core().raw;
    }
    co_await start_on(core, function, driver, card, image, line);
    log::info("{} drives {} on core {}", image.view(), Written{function.at}, core);
    co_return {};
}

/// The registers go to the driver's core; the line too if that is ours, else it stays here and
/// is forwarded. We keep a view of the registers, for the reset after the driver's end.
async::Task<> Keeper::start_on(
    unsigned core,
    hw::PciFunction function,
    const DriverEntry& driver,
    unsigned card,
    Text<16> image,
    Result<Line> line
) {
    const bool here = core == self_.core().raw;
    const auto place = std::ranges::find(driven_, nullptr, &Driven::driver);
    if (place == driven_.end()) co_await fail(Err::no_space);
    Spawner& spawner = *co_await spawner_on(core);
    std::array<char, 64> labels;
    TextWriter text{labels};
    const WindowPart part = co_await registers_of(function, driver, window_begin_, window_end_);
    format(text, "{}", driver.registers);
    OwnedCap ours = co_await registers_at(part);
    if (here) { // both of us have it
        const OwnedCap theirs{co_await os::slots().copy(ours.slot())};
        co_await hand(core, driver.registers, theirs);
    } else { // what is handed to another core is gone here; we hold the window around it
        co_await hand(core, driver.registers, ours);
        ours = co_await registers_at(part);
    }
    if (line && !here) co_await lines_.forward(function.at.raw(), *line);
    if (line && here) {
        format(text, " {}", driver.interrupt);
        co_await hand(core, driver.interrupt, co_await lines_.take(line->gsi));
    }
    place->registers.emplace(co_await os::Registers::open(ours.slot()));
    place->window = std::move(ours);
    enable(config_, function.at, {.memory = true, .bus_master = true, .intx = true});
    interfaces::spawn::Client client{spawner.link.channel()};
    std::array<char, 48> arguments;
    place->function = function;
    place->driver = &driver;
    place->spawner = &spawner;
    const auto started = co_await async::result_of(client.spawn_with(
        image,
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

void Keeper::silence(Driven& driven) {
    hw::Mmio registers = driven.registers->mmio();
    pci::silence(config_, driven.function.at, *driven.driver, registers);
}

Result<OwnedCap> Keeper::registers_at(const WindowPart& part) {
    return os::part_of(window_, abi::Kind::device_frame, part.offset, part.bytes);
}

Result<> Keeper::hand(unsigned core, std::string_view label, const OwnedCap& what) {
    const auto to = CoreId{{static_cast<uint8_t>(core)}};
    return monitor_->hand(to, Text<16>::cut(label), what.slot());
}

/// The link to that core's spawner, which stays. Errors: timed_out, those of Binding::open.
async::Task<Keeper::Spawner*> Keeper::spawner_on(unsigned core) {
    LinkedSpawner& there = *co_await linked(core);
    // It may have been started with this one.
    const Duration patience = os::patience_of(self_.core_count()) * 4;
    const CoreId which{{static_cast<uint8_t>(core)}};
    co_await os::bind_spawner(self_, there.spawner.link, which, patience, &there.side);
    co_return &there.spawner;
}

/// Open or not.
Result<Keeper::LinkedSpawner*> Keeper::linked(unsigned core) {
    for (LinkedSpawner* known : spawners_)
        if (known != nullptr && known->spawner.core == core) return known;
    const auto place = std::ranges::find(spawners_, nullptr);
    if (place == spawners_.end()) return fail(Err::no_space);
    *place = new (std::nothrow) LinkedSpawner{self_, *this, core};
    if (*place == nullptr) return fail(Err::no_memory);
    return *place;
}

// -- drivers that have ended --

Keeper::Driven* Keeper::driven_by(const Spawner& spawner, uint32_t domain) {
    for (Driven& d : driven_)
        if (d.driver != nullptr && d.spawner == &spawner && d.domain == domain) return &d;
    return nullptr;
}

/// The driver has ended, in whatever state its card was.
void Keeper::silence(Spawner& spawner, uint32_t domain) {
    Driven* const driven = driven_by(spawner, domain);
    if (driven == nullptr) return note_early(spawner, domain);
    silence(*driven);
    log::info("{} is silent: its driver has ended", Written{driven->function.at});
    if (!self_.loop().spawn("a device is silent", [&] { return answer_silent(spawner, domain); }))
        log::error("the spawner of core {} waits for a silent device", spawner.core);
}

/// The answer of spawn_with, which says who that is, may lie behind it.
void Keeper::note_early(const Spawner& spawner, uint32_t domain) {
    for (Driven& d : driven_)
        if (d.driver != nullptr && d.spawner == &spawner && d.first == 0) d.ended = domain;
}

async::Task<> Keeper::answer_silent(Spawner& spawner, uint32_t domain) {
    co_await interfaces::spawn::Client{spawner.link.channel()}.silent(domain);
    co_return {};
}

void Keeper::wake(Spawner& spawner, uint32_t first, uint32_t domain) {
    const auto driven = std::ranges::find_if(driven_, [&](const Driven& d) {
        return d.driver != nullptr && d.spawner == &spawner && d.first == first;
    });
    if (driven == driven_.end()) return;
    driven->domain = domain;
    const PciAddress at = driven->function.at;
    enable(config_, at, {.memory = true, .bus_master = true, .intx = true});
    if (!self_.loop().spawn("a device may go on", [&] { return answer_ready(spawner, domain); }))
        log::error("the spawner of core {} waits for a device", spawner.core);
}

async::Task<> Keeper::answer_ready(Spawner& spawner, uint32_t domain) {
    co_await interfaces::spawn::Client{spawner.link.channel()}.ready(domain);
    co_return {};
}

void Keeper::silence_devices_of(CoreId core) {
    for (Driven& d : driven_) {
        if (d.driver == nullptr || d.spawner->core != core.raw) continue;
        silence(d);
        log::warn("{} is silent: core {} has failed", Written{d.function.at}, core.raw);
        d = Driven{};
    }
}

} // namespace pci
