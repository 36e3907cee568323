#include "drivers/e1000/domain/driver.hpp"

#include "interfaces/pci.hpp"
#include "lib/base/log.hpp"
#include "lib/os/channel.hpp"

namespace e1000 {

namespace nic = interfaces::nic;
using abi::CapSlot;

namespace {

/// Before the event loop runs nothing else can wake this domain.
void sleep_for(Duration time) {
    const Instant until = os::now() + time;
    while (os::now() < until)
        (void)os::self().wait(until, 0, os::place_of(os::receive_slot));
}

/// The end of a DMA under way; a bounded time, and only when a stack has died: sleeping here would
/// take events from the loop.
void wait_for(Duration time) {
    const Instant until = os::now() + time;
    while (os::now() < until)
        __builtin_ia32_pause();
}

DescriptorRing ring_in(const os::Memory& memory) {
    return DescriptorRing{memory.view.as<Descriptor>(), ring_slots};
}

/// The line is bound where the PCI service runs, on another core: it comes as its event.
class Forwarded {
  public:
    explicit Forwarded(async::Loop& loop) : event_{loop} {}

    void interrupt(const interfaces::pci::InterruptArguments&) { event_.set(); }

    async::Event& event() { return event_; }

  private:
    async::Event event_;
};

} // namespace

Result<> Driver::open() {
    const CapSlot window = TRY(self_.find_given("nic.registers"));
    registers_.emplace(TRY(os::Registers::open(window)));
    card_.emplace(registers_->mmio());
    mac_ = TRY(card_->reset(sleep_for));
    rx_memory_.emplace(TRY(os::Memory::make(ring_bytes)));
    tx_memory_.emplace(TRY(os::Memory::make(ring_bytes)));
    TRY_VOID(make_rings());
    TRY_VOID(open_interrupt());
    segments_ = argument("device", 0xffff) != uncut_device_id;
    std::array<char, 8> name;
    name_ = Text<8>::cut(format_to(name, "nic.{}", argument("nic", 99).value_or(0)));
    log::info(
        "{} {:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
        name_.view(),
        mac_[0],
        mac_[1],
        mac_[2],
        mac_[3],
        mac_[4],
        mac_[5]
    );
    return {};
}

/// Rings without buffers. The card must not be using the former ones.
Result<> Driver::make_rings() {
    rx_.emplace(ring_in(*rx_memory_), TRY(rx_memory_->frame.base()));
    tx_.emplace(ring_in(*tx_memory_), TRY(tx_memory_->frame.base()));
    return {};
}

Result<> Driver::start(Stack& stack, const netq::Area& area, PhysAddr area_at) {
    if (stack_ != nullptr) return fail(Err::busy);
    traffic_.emplace(stack, TRY(CardPump::over(*card_, *rx_, *tx_, area, area_at)));
    self_.loop().add(*traffic_);
    stack_ = &stack;
    card_->start(*rx_, *tx_);
    return {};
}

void Driver::stop(const Stack& stack) {
    if (stack_ != &stack) return;
    card_->stop(wait_for);
    self_.loop().remove(*traffic_);
    traffic_.reset();
    stack_ = nullptr;
    if (const auto made = make_rings(); !made)
        log::error("rings cannot be made again: {}", made.error());
    log::info("{} free again: its stack has gone", name_.view());
}

uint64_t Driver::value_of(nic::Statistic which) {
    const Statistics& s = card_->read_statistics();
    switch (which) {
    case nic::Statistic::received: return s.received;
    case nic::Statistic::sent: return s.sent;
    case nic::Statistic::received_bytes: return s.received_bytes;
    case nic::Statistic::sent_bytes: return s.sent_bytes;
    case nic::Statistic::missed: return s.missed;
    case nic::Statistic::crc_errors: return s.crc_errors;
    case nic::Statistic::too_long: return s.oversize + rx_->counters().too_long;
    case nic::Statistic::no_buffer: return s.no_buffer;
    case nic::Statistic::bad_descriptor: return rx_->counters().bad_lengths;
    case nic::Statistic::interrupts: return interrupts_;
    case nic::Statistic::batches: return traffic_ ? traffic_->batches() : 0;
    case nic::Statistic::resets: return resets_;
    }
    return 0;
}

/// A card whose registers read as all ones has gone or hangs: it gets one reset, and goes on with
/// the rings it had.
Result<> Driver::revive() {
    ++resets_;
    TRY(card_->reset(wait_for));
    if (stack_ != nullptr) card_->start(*rx_, *tx_);
    return {};
}

/// The card interrupts: what it says is read, which ends its request.
Result<> Driver::take_interrupt() {
    ++interrupts_;
    const auto work = card_->acknowledge();
    if (!work) {
        log::error("card does not answer: {}", work.error());
        TRY_VOID(revive());
    }
    if (work && work->link && stack_ != nullptr)
        if (const auto now = card_->link()) stack_->link_changed(*now);
    if (traffic_) traffic_->interrupted();
    return {};
}

async::Task<> Driver::serve_interrupts() {
    for (;;) {
        co_await irq_.wait();
        co_await take_interrupt();
        co_await irq_.acknowledge();
    }
}

async::Task<> Driver::serve_forwarded(uint32_t address) {
    namespace pci = interfaces::pci;
    Forwarded forwarded{self_.loop()};
    pci::ClientSide<Forwarded> side{forwarded};
    os::Binding link{self_};
    co_await link.open({.name = "pci", .contract = pci::contract, .events = &side});
    pci::Client client{link.channel()};
    co_await client.claim(address);
    for (;;) {
        co_await forwarded.event().wait();
        co_await take_interrupt();
        co_await client.interrupt_done(address);
    }
}

/// No line is known for the card: it is asked, often enough that its 256 descriptors last.
async::Task<> Driver::serve_polled() {
    constexpr Duration interval = milliseconds(10);
    for (;;) {
        co_await self_.loop().sleep_for(interval);
        co_await take_interrupt();
    }
}

/// N of the word "key=N" among the domain's arguments.
std::optional<uint64_t> Driver::argument(std::string_view key, uint64_t most) const {
    for (std::string_view rest = self_.arguments(); !rest.empty();) {
        std::string_view word = take_until(rest, ' ');
        if (take_until(word, '=') == key) return parse_number(word, most);
    }
    return std::nullopt;
}

/// docs/pci.md: "mode=N" says how the line signals that was given to us, "pci=N" that the PCI
/// service of another core has the line of this function, neither that no line is known.
Result<> Driver::open_interrupt() {
    if (const auto address = argument("pci", 0xffff))
        return self_.loop().spawn("interrupts", [&] {
            return serve_forwarded(static_cast<uint32_t>(*address));
        });
    const auto mode = argument("mode", std::to_underlying(abi::InterruptMode::edge_low));
    if (!mode) return self_.loop().spawn("polling", [&] { return serve_polled(); });
    const CapSlot line = TRY(self_.find_given("nic.interrupt"));
    TRY_VOID(irq_.open(line, abi::InterruptMode(*mode)));
    return self_.loop().spawn("interrupts", [&] { return serve_interrupts(); });
}

} // namespace e1000
