// A 16550 with its FIFOs, driven by interrupt: two queues of bytes and one function to be called
// when the device has interrupted. It never waits; a sender that finds no room comes again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "drivers/serial/byte_ring.hpp"
#include "drivers/serial/regs.hpp"
#include "lib/base/result.hpp"
#include "lib/hw/port.hpp"

namespace serial {

constexpr uint16_t com1_port = 0x3F8;
constexpr uint16_t port_count = 8;
constexpr uint8_t com1_isa_irq = 4;
constexpr uint32_t baud_max = 115200; // a clock of 1.8432 MHz, divided by 16
constexpr size_t fifo_bytes = 16;

template <hw::PortIo P>
class Uart {
  public:
    struct Counters {
        uint64_t received{}, sent{};
        uint64_t dropped{};  // nobody read, so our queue was full
        uint64_t overruns{}; // we did not come in time
        uint64_t damaged{};  // parity, framing, break
    };

    Uart(P& ports, uint16_t base) : regs_{{ports, base}} {}

    /// 8 bits, no parity, one stop bit; FIFOs on, interrupts for reception on.
    ///   errors   bad_argument (not a divisor of baud_max); no_device (nothing answers there)
    Result<> start(uint32_t baud) {
        if (baud == 0 || baud_max % baud != 0 || baud_max / baud > 0xFFFF)
            return fail(Err::bad_argument);
        if (!answers()) return fail(Err::no_device);
        regs_.template write<InterruptEnable>({0});
        set_divisor(static_cast<uint16_t>(baud_max / baud));
        regs_.template write<FifoControl>(FifoControl::of(
            FifoControl::Enable{true},
            FifoControl::ClearReceive{true},
            FifoControl::ClearSend{true},
            FifoControl::Trigger{2} // 8 bytes; fewer interrupt after four characters' time
        ));
        regs_.template write<ModemControl>(ModemControl::of(
            ModemControl::Ready{true}, ModemControl::Request{true}, ModemControl::Out2{true}
        ));
        regs_.template read<LineStatus>();
        regs_.template read<InterruptIdent>();
        enable_interrupts(false);
        return {};
    }

    /// Queues as much as there is room for and starts sending.
    ///   result   how many bytes were taken; call again with the rest when service() has run
    size_t write(std::span<const uint8_t> bytes) {
        size_t taken = 0;
        while (taken < bytes.size() && to_send_.push(bytes[taken]))
            ++taken;
        if (!sending_) send_some();
        return taken;
    }

    std::optional<uint8_t> read() { return received_.pop(); }

    /// Serves everything that the device interrupts for. Bounded, whatever the device says.
    ///   errors   device_fault (all ones, or a cause that does not go away)
    Result<> service() {
        for (unsigned turns = 0; turns < 64; ++turns) {
            const auto ident = regs_.template read<InterruptIdent>();
            if (ident.raw == 0xFF) return fail(Err::device_fault);
            if (ident.template get<InterruptIdent::None>()) return {};
            switch (ident.template get<InterruptIdent::Which>()) {
            case Cause::received:
            case Cause::timeout:
            case Cause::line_status: receive_some(); break;
            case Cause::sender_empty: send_some(); break;
            case Cause::modem: regs_.template read<ModemStatus>(); break;
            default: return fail(Err::device_fault);
            }
        }
        return fail(Err::device_fault);
    }

    bool idle() const { return !sending_; }

    size_t send_room() const { return to_send_.room(); }

    const Counters& counters() const { return counters_; }

  private:
    /// Only the scratch register keeps what is written without further effect (8.10).
    bool answers() {
        for (const uint8_t pattern : {uint8_t{0x5A}, uint8_t{0xA5}}) {
            regs_.template write<Scratch>({pattern});
            if (regs_.template read<Scratch>().raw != pattern) return false;
        }
        return true;
    }

    void set_divisor(uint16_t divisor) {
        const auto line = LineControl::of(LineControl::WordLength{3});
        regs_.template write<LineControl>(line.with(LineControl::DivisorLatch{true}));
        regs_.template write<DivisorLow>({static_cast<uint8_t>(divisor)});
        regs_.template write<DivisorHigh>({static_cast<uint8_t>(divisor >> 8)});
        regs_.template write<LineControl>(line);
    }

    void enable_interrupts(bool sender) {
        regs_.template write<InterruptEnable>(InterruptEnable::of(
            InterruptEnable::Received{true},
            InterruptEnable::SenderEmpty{sender},
            InterruptEnable::LineStatus{true}
        ));
        sending_ = sender;
    }

    void receive_some() {
        for (size_t n = 0; n < 2 * fifo_bytes; ++n) {
            const auto status = regs_.template read<LineStatus>();
            if (status.template get<LineStatus::Overrun>()) ++counters_.overruns;
            if (!status.template get<LineStatus::Ready>()) return;
            const uint8_t byte = regs_.template read<Receive>().raw;
            if (status.template get<LineStatus::ParityError>() ||
                status.template get<LineStatus::FrameError>() ||
                status.template get<LineStatus::Break>()) {
                ++counters_.damaged;
            } else if (received_.push(byte)) {
                ++counters_.received;
            } else {
                ++counters_.dropped;
            }
        }
    }

    /// Fills the empty FIFO; the interrupt "sender empty" is on just while something follows.
    void send_some() {
        if (!regs_.template read<LineStatus>().template get<LineStatus::SenderEmpty>()) {
            if (!sending_) enable_interrupts(true);
            return;
        }
        for (size_t n = 0; n < fifo_bytes; ++n) {
            const auto byte = to_send_.pop();
            if (!byte) break;
            regs_.template write<Send>({*byte});
            ++counters_.sent;
        }
        const bool more = !to_send_.empty();
        if (more != sending_) enable_interrupts(more);
    }

    hw::Block<hw::PortBlock<P>> regs_;
    ByteRing<1024> received_;
    ByteRing<4096> to_send_;
    Counters counters_;
    bool sending_{};
};

} // namespace serial
