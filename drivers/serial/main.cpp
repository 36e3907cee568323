// The serial line as a service, "console": everybody writes lines, one has the keyboard. Its
// interrupt comes once the PCI service, which holds the lines, has routed it; until then the
// device is looked at by the clock.
#include "drivers/serial/console.hpp"
#include "drivers/serial/uart.hpp"
#include "interfaces/console.hpp"
#include "interfaces/pci.hpp"
#include "lib/base/log.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/device.hpp"
#include "lib/os/immortal.hpp"

namespace {

namespace api = interfaces::console;
using serial::Console;

constexpr Duration look_without_interrupt = milliseconds(20);

class Writer;

class Line {
  public:
    Line(os::Domain& self, os::CapSlot ports)
        : self_{self}, ports_{ports}, uart_{ports_, serial::com1_port}, work_{self.loop()},
          drained_{self.loop()}, keyboard_free_{self.loop()} {}

    Result<> start() {
        TRY_VOID(uart_.start(serial::baud_max));
        // A routed interrupt rings our channels' doorbell: bit 0 from another core, bit 1 here.
        self_.loop().bind(abi::event_remote, work_);
        self_.loop().bind(abi::event_channels, work_);
        TRY_VOID(self_.loop().spawn("serial line", [&] { return serve(); }));
        return self_.loop().spawn("route the interrupt", [&] { return route(); });
    }

    Console& console() { return console_; }

    /// There is something to send.
    void kick() { pump(); }

    bool drained() const { return uart_.idle() && nothing_queued_; }

    async::Signal& drained_signal() { return drained_; }

    async::Signal& keyboard_free() { return keyboard_free_; }

    Writer* keyboard{};

  private:
    async::Task<> serve() {
        for (;;) {
            look();
            // With the interrupt the clock is only a second chance while something is on its way.
            const bool by_clock = !routed_ || !uart_.idle();
            if (by_clock)
                (void)co_await async::result_of(
                    work_.wait_until(self_.loop().now() + look_without_interrupt)
                );
            else
                co_await work_.wait();
        }
    }

    void look() {
        // One round is bounded; while much is to be sent the device has a new cause at once.
        for (unsigned rounds = 0; rounds < 8; ++rounds) {
            const bool served = uart_.service().has_value();
            deliver();
            pump();
            if (served) break;
        }
        if (drained()) drained_.notify();
    }

    void deliver();

    void pump() {
        for (;;) {
            std::array<uint8_t, 64> bytes;
            size_t count = 0;
            const size_t room = std::min(bytes.size(), uart_.send_room());
            while (count < room) {
                const auto c = console_.wire().take();
                if (!c) break;
                bytes[count++] = static_cast<uint8_t>(*c);
            }
            nothing_queued_ = console_.wire().empty();
            if (count == 0) return;
            uart_.write(std::span{bytes}.first(count)); // there is room for all of it
        }
    }

    async::Task<> route() {
        os::Binding link{self_};
        for (;;) {
            co_await link.open({.name = "pci", .contract = interfaces::pci::contract});
            interfaces::pci::Client pci{link.channel()};
            const auto done = co_await async::result_of(pci.route_isa(serial::com1_isa_irq));
            routed_ = done.has_value();
            work_.set();
            if (!done)
                log::warn("interrupt of the serial line: {}: looked at by the clock", done.error());
            if (link.is_open()) co_await link.closed_signal().wait();
            routed_ = false;
            work_.set();
        }
    }

    os::Domain& self_;
    os::Ports ports_;
    serial::Uart<os::Ports> uart_;
    Console console_;
    async::Event work_;
    async::Signal drained_, keyboard_free_;
    bool routed_{};
    bool nothing_queued_{true};
};

/// One client.
class Writer {
  public:
    Writer(os::Session& session, Line& line) : session_{session}, line_{line} {}

    ~Writer() {
        line_.console().end(text_, has_keyboard());
        if (has_keyboard()) {
            line_.keyboard = nullptr;
            line_.keyboard_free().notify();
        }
        line_.kick();
    }

    void write(const api::WriteArguments& a) {
        const Bytes bytes = a.text.span();
        const void* const text = bytes.data();
        line_.console().write(
            text_, {static_cast<const char*>(text), bytes.size()}, has_keyboard()
        );
        line_.kick();
    }

    async::Task<> grab() {
        while (line_.keyboard != nullptr && !has_keyboard())
            co_await line_.keyboard_free().wait();
        line_.keyboard = this;
        co_return {};
    }

    async::Task<> flush() {
        while (!line_.drained())
            co_await line_.drained_signal().wait();
        co_return {};
    }

    async::Task<api::HistoryResult> history(api::HistoryArguments a) {
        std::array<char, decltype(api::HistoryResult::text)::capacity> text;
        const size_t count = line_.console().history().read(a.offset, text);
        const auto bytes = std::as_bytes(std::span{text}.first(count));
        co_return api::HistoryResult{co_await decltype(api::HistoryResult::text)::from(bytes)};
    }

    /// Keys that the client has no room for are lost, as on any terminal.
    void typed(Bytes keys) {
        const auto text = decltype(api::TypedArguments::text)::from(keys);
        if (text) (void)api::Events{session_.channel()}.try_typed(*text);
    }

  private:
    bool has_keyboard() const { return line_.keyboard == this; }

    os::Session& session_;
    Line& line_;
    Console::Writer text_;
};

void Line::deliver() {
    for (;;) {
        std::array<std::byte, decltype(api::TypedArguments::text)::capacity> keys;
        size_t count = 0;
        while (count < keys.size()) {
            const auto byte = uart_.read();
            if (!byte) break;
            keys[count++] = std::byte{*byte};
        }
        if (count == 0) return;
        if (keyboard != nullptr) keyboard->typed(std::span{keys}.first(count));
    }
}

using Service = os::ServiceOf<Writer, api::ServerSide<Writer>, Line>;

constinit os::Immortal<Line> line;
constinit os::Immortal<Service> service;

Result<> begin(os::Domain& self) {
    line.make(self, TRY(self.find_given("com1.ports")));
    TRY_VOID(line->start());
    service.make(
        "console",
        api::contract,
        *line,
        os::Service::Limits{
            .sessions = 250, .bulk_bytes = 0, .task_bytes = 4096, .calls_at_a_time = 2
        }
    );
    return os::offer(self, *service);
}

} // namespace

int domain_main(os::Domain& self) {
    if (const auto done = begin(self); !done) {
        log::error("console cannot start: {}", done.error());
        return 1;
    }
    return self.serve();
}
