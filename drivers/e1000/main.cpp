// drivers/e1000/main.cpp — a network card as a service, "nic.N". It was handed the card's
// registers and its interrupt; the stack brings the memory for packets.
#include <array>
#include <optional>

#include "drivers/e1000/device.hpp"
#include "drivers/e1000/pump.hpp"
#include "drivers/e1000/rings.hpp"
#include "interfaces/nic.hpp"
#include "interfaces/pci.hpp"
#include "lib/base/log.hpp"
#include "lib/netq/layout.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/device.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/interrupt.hpp"
#include "lib/os/memory.hpp"

namespace e1000 {
namespace {

namespace nic = interfaces::nic;
using abi::CapSlot;

using Card = Device<hw::Mmio>;
using CardPump = Pump<hw::Mmio>;

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

/// The stack's packet memory, while a stack is bound.
class Traffic final : public async::Source {
  public:
    Traffic(os::Session& session, const CardPump& pump) : session_{session}, pump_{pump} {}

    bool pump() override {
        if (!ready()) return false;
        interrupted_ = false;
        ++batches_;
        if (pump_.run()) session_.channel().published_elsewhere();
        return true;
    }

    bool ready() override { return interrupted_ || pump_.has_work(); }

    /// The card has something: frames in its ring are not seen by ready().
    void interrupted() { interrupted_ = true; }

    // pump() has told the stack at once; the channel's own source arms for both.
    void flush() override {}

    void arm(uint64_t) override {}

    void disarm() override {}

    const CardPump::Counters& counters() const { return pump_.counters(); }

    uint64_t batches() const { return batches_; }

  private:
    os::Session& session_;
    CardPump pump_;
    uint64_t batches_{};
    bool interrupted_{true}; // what the card had before
};

struct Driver {
    Driver(os::Domain& domain, hw::Mmio at) : self{domain}, card{at}, irq{domain} {}

    os::Domain& self;
    Card card;
    os::Interrupt irq;
    MacAddress mac{};
    std::optional<os::Memory> rx_memory, tx_memory;
    std::optional<RxRing> rx;
    std::optional<TxRing> tx;
    std::optional<Traffic> traffic;
    os::Session* stack{}; // who has the card
    Text<8> name;         // of the service
    uint64_t interrupts{}, resets{};

    /// Rings without buffers. The card must not be using the former ones.
    Result<> make_rings() {
        rx.emplace(ring_in(*rx_memory), TRY(rx_memory->frame.base()));
        tx.emplace(ring_in(*tx_memory), TRY(tx_memory->frame.base()));
        return {};
    }

  private:
    static DescriptorRing ring_in(const os::Memory& memory) {
        return DescriptorRing{memory.view.as<Descriptor>(), ring_slots};
    }
};

os::Immortal<os::Registers> registers; // mapped as long as the driver runs
os::Immortal<Driver> driver;

class NicServer {
  public:
    NicServer(os::Session& session, Driver& of) : session_{session}, driver_{of} {}

    NicServer(const NicServer&) = delete;

    ~NicServer() {
        if (driver_.stack != &session_) return;
        driver_.card.stop(wait_for);
        driver_.self.loop().remove(*driver_.traffic);
        driver_.traffic.reset();
        driver_.stack = nullptr;
        if (const auto made = driver_.make_rings(); !made)
            log::error("rings cannot be made again: {}", made.error());
        log::info("{} free again: its stack has gone", driver_.name.view());
    }

    async::Task<nic::DescribeResult> describe() {
        const Link link = co_await driver_.card.link();
        co_return nic::DescribeResult{driver_.mac, frame_bytes_max, link.up, link.mbit};
    }

    async::Task<> start() {
        if (driver_.stack != nullptr) co_await fail(Err::busy);
        co_await start_card();
        const Link link = co_await driver_.card.link();
        tell(link);
        co_return {};
    }

    async::Task<> join_group(nic::JoinGroupArguments a) {
        if (groups_used_ == groups_.size()) co_await fail(Err::no_space);
        if ((a.address[0] & 1) == 0) co_await fail(Err::bad_argument);
        groups_[groups_used_++] = a.address;
        driver_.card.set_groups(std::span{groups_}.first(groups_used_));
        co_return {};
    }

    async::Task<nic::StatisticResult> statistic(nic::StatisticArguments a) {
        co_return nic::StatisticResult{value_of(a.which)};
    }

    /// The link's state as it is, to the stack; full ring or not, `describe` has it too.
    void tell(const Link& link) {
        (void)nic::Events{session_.channel()}.try_link_changed(link.up, link.mbit);
    }

  private:
    Result<> start_card() {
        const netq::Area area = TRY(netq::Area::over(session_.bulk()));
        const PhysAddr area_at = TRY(session_.bulk_base());
        TRY_VOID(session_.pin());
        const CardPump pump =
            TRY(CardPump::over(driver_.card, *driver_.rx, *driver_.tx, area, area_at));
        driver_.traffic.emplace(session_, pump);
        driver_.self.loop().add(*driver_.traffic);
        driver_.stack = &session_;
        driver_.card.start(*driver_.rx, *driver_.tx);
        return {};
    }

    uint64_t value_of(nic::Statistic which) {
        const Statistics& s = driver_.card.read_statistics();
        switch (which) {
        case nic::Statistic::received: return s.received;
        case nic::Statistic::sent: return s.sent;
        case nic::Statistic::received_bytes: return s.received_bytes;
        case nic::Statistic::sent_bytes: return s.sent_bytes;
        case nic::Statistic::missed: return s.missed;
        case nic::Statistic::crc_errors: return s.crc_errors;
        case nic::Statistic::too_long: return s.oversize + driver_.rx->counters().too_long;
        case nic::Statistic::no_buffer: return s.no_buffer;
        case nic::Statistic::bad_descriptor: return driver_.rx->counters().bad_lengths;
        case nic::Statistic::interrupts: return driver_.interrupts;
        case nic::Statistic::batches: return driver_.traffic ? driver_.traffic->batches() : 0;
        case nic::Statistic::resets: return driver_.resets;
        }
        return 0;
    }

    os::Session& session_;
    Driver& driver_;
    std::array<MacAddress, 16> groups_{};
    size_t groups_used_{};
};

using NicService = os::ServiceOf<NicServer, nic::ServerSide<NicServer>, Driver>;
os::Immortal<NicService> service;

void report_link() {
    const auto link = driver->card.link();
    if (!link || driver->stack == nullptr) return;
    (void)nic::Events{driver->stack->channel()}.try_link_changed(link->up, link->mbit);
}

/// A card whose registers read as all ones has gone or hangs: it gets one reset, and goes on with
/// the rings it had.
Result<> revive() {
    ++driver->resets;
    TRY(driver->card.reset(wait_for));
    if (driver->stack != nullptr) driver->card.start(*driver->rx, *driver->tx);
    return {};
}

/// The card interrupts: what it says is read, which ends its request.
Result<> take_interrupt() {
    ++driver->interrupts;
    const auto work = driver->card.acknowledge();
    if (!work) {
        log::error("card does not answer: {}", work.error());
        TRY_VOID(revive());
    }
    if (work && work->link) report_link();
    if (driver->traffic) driver->traffic->interrupted();
    return {};
}

async::Task<> serve_interrupts() {
    for (;;) {
        co_await driver->irq.wait();
        co_await take_interrupt();
        co_await driver->irq.acknowledge();
    }
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

async::Task<> serve_forwarded(os::Domain& self, uint32_t address) {
    namespace pci = interfaces::pci;
    Forwarded forwarded{self.loop()};
    pci::ClientSide<Forwarded> side{forwarded};
    os::Binding link{self};
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
async::Task<> serve_polled(os::Domain& self) {
    constexpr Duration interval = milliseconds(10);
    for (;;) {
        co_await self.loop().sleep_for(interval);
        co_await take_interrupt();
    }
}

/// N of the word "key=N" among the domain's arguments.
std::optional<uint64_t> argument(os::Domain& self, std::string_view key, uint64_t most) {
    for (std::string_view rest = self.arguments(); !rest.empty();) {
        std::string_view word = take_until(rest, ' ');
        if (take_until(word, '=') == key) return parse_number(word, most);
    }
    return std::nullopt;
}

/// docs/pci.md: "mode=N" says how the line signals that was given to us, "pci=N" that the PCI
/// service of another core has the line of this function, neither that no line is known.
Result<> open_interrupt(os::Domain& self) {
    if (const auto address = argument(self, "pci", 0xffff))
        return self.loop().spawn(
            "interrupts", serve_forwarded(self, static_cast<uint32_t>(*address))
        );
    const auto mode = argument(self, "mode", std::to_underlying(abi::InterruptMode::edge_low));
    if (!mode) return self.loop().spawn("polling", serve_polled(self));
    const CapSlot line = TRY(self.find_given("nic.interrupt"));
    TRY_VOID(driver->irq.open(line, abi::InterruptMode(*mode)));
    return self.loop().spawn("interrupts", serve_interrupts());
}

Result<> open(os::Domain& self) {
    const CapSlot window = TRY(self.find_given("nic.registers"));
    registers.make(TRY(os::Registers::open(window)));
    Driver& d = driver.make(self, registers->mmio());
    d.mac = TRY(d.card.reset(sleep_for));
    d.rx_memory.emplace(TRY(os::Memory::make(ring_bytes)));
    d.tx_memory.emplace(TRY(os::Memory::make(ring_bytes)));
    TRY_VOID(d.make_rings());
    TRY_VOID(open_interrupt(self));
    std::array<char, 8> name;
    d.name = Text<8>::cut(format_to(name, "nic.{}", argument(self, "nic", 99).value_or(0)));
    NicService& nic =
        service.make(d.name.view(), nic::contract, d, os::Service::Limits{.sessions = 2});
    TRY_VOID(os::offer(self, nic));
    log::info(
        "{} {:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
        d.name.view(),
        d.mac[0],
        d.mac[1],
        d.mac[2],
        d.mac[3],
        d.mac[4],
        d.mac[5]
    );
    return {};
}

} // namespace
} // namespace e1000

int domain_main(os::Domain& self) {
    if (const auto opened = e1000::open(self); !opened) {
        log::error("e1000 cannot start: {}", opened.error());
        return 1;
    }
    return self.serve();
}
