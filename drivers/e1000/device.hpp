// The card itself: reset, start, link, interrupts. It never reads a clock:
// where the manual says to wait it calls the `Delay` it was given.
//   delay(Duration)   returns after at least that time
// Source: 317453 rev 4.0, chapter 14 (general initialization and reset).
#pragma once

#include <cstdint>
#include <span>

#include "drivers/e1000/address.hpp"
#include "drivers/e1000/regs.hpp"
#include "drivers/e1000/rings.hpp"
#include "drivers/e1000/statistics.hpp"
#include "lib/base/result.hpp"
#include "lib/base/time.hpp"

namespace e1000 {

struct Link {
    bool up{};
    uint32_t mbit{}; // 0 while down
    bool full_duplex{};
    friend constexpr bool operator==(Link, Link) = default;
};

/// What an interrupt asks for. All false: it was another device's on a shared line.
struct Work {
    bool receive{}; // look at the receive ring (and give it buffers)
    bool sent{};    // reclaim
    bool link{};    // read the link again
    bool overrun{}; // frames were lost for want of descriptors

    constexpr bool any() const { return receive || sent || link || overrun; }
};

template <hw::RegisterIo Io>
class Device {
  public:
    /// At most 19,500 interrupts a second: a batch, and still far below a round trip. In 256 ns.
    static constexpr uint16_t throttle = 200;

    explicit Device(Io io) : regs_{io} {}

    /// Stops the device and brings it into a known state: no interrupt, no DMA, empty filters.
    ///   result   its own address
    ///   errors   device_fault (gone, reset does not end, or no valid address)
    ///   source   14.3; after a reset of what QEMU calls one, rings and masks may be as before,
    ///            so each register we rely on is written here or in start
    template <class Delay>
    Result<MacAddress> reset(Delay&& delay) {
        if (gone()) return fail(Err::device_fault);
        quiesce();
        delay(milliseconds(10)); // frames in the middle of their DMA end
        regs_.template modify<Ctrl>(Ctrl::Reset{true});
        delay(milliseconds(5)); // the EEPROM is read again (5.6.1: up to 5 ms)
        TRY_VOID(wait_for_reset(delay));
        quiesce();
        configure();
        clear_filters(regs_);
        const MacAddress mac = TRY(read_own_address(regs_, delay));
        write_address(regs_, mac);
        read_statistics();
        totals_ = {};
        return mac;
    }

    /// Hands both rings over, begins to receive and send, allows interrupts. Only after reset or
    /// stop; what the rings still hold is received into and sent. Provide buffers first. QEMU holds
    /// frames back for one second of its time after Rctl is written: it is written once here, and
    /// silence in that second is no loss.
    void start(const RxRing& rx, const TxRing& tx) {
        write_ring<Rdbal, Rdbah, Rdlen, Rdh>(rx.base(), rx.head());
        rx_published_ = rx.tail();
        regs_.template write<Rdt>({rx_published_});
        write_ring<Tdbal, Tdbah, Tdlen, Tdh>(tx.base(), tx.head());
        tx_published_ = tx.head();
        regs_.template write<Tdt>({tx_published_});
        regs_.template write<Tipg>(Tipg::of( // 13.4.34, copper
            Tipg::BackToBack{10},
            Tipg::Part1{8},
            Tipg::Part2{6}
        ));
        regs_.template write<Tctl>(Tctl::of( // 14.5
            Tctl::Enable{true},
            Tctl::PadShort{true},
            Tctl::Threshold{15},
            Tctl::Distance{64}
        ));
        publish(tx);
        set_interrupts();
        regs_.template write<Rctl>(Rctl::of( // 14.4
            Rctl::Enable{true},
            Rctl::Broadcast{true},
            Rctl::LowThreshold{1},
            Rctl::BufferSize{0},
            Rctl::StripCrc{true}
        ));
    }

    /// Ends interrupts and DMA; buffers may be taken back after `delay` has let the last end.
    template <class Delay>
    void stop(Delay&& delay) {
        quiesce();
        delay(milliseconds(10));
    }

    /// Tells the device of the buffers provided since the last call: one store, or none.
    void publish(const RxRing& rx) { publish_tail<Rdt>(rx.tail(), rx_published_); }

    /// The same for frames to be sent.
    void publish(const TxRing& tx) { publish_tail<Tdt>(tx.tail(), tx_published_); }

    /// Reads and thereby acknowledges the interrupt. One load.
    ///   errors   device_fault (all ones: the device is gone)
    Result<Work> acknowledge() {
        const auto cause = regs_.template read<Icr>();
        if (cause.raw == gone_value) return fail(Err::device_fault);
        return Work{
            .receive = cause.template get<Icr::ReceiveTimer>() ||
                       cause.template get<Icr::ReceiveLow>() || cause.template get<Icr::Overrun>(),
            .sent = cause.template get<Icr::SendWritten>() || cause.template get<Icr::SendEmpty>(),
            .link = cause.template get<Icr::LinkChange>(),
            .overrun = cause.template get<Icr::Overrun>(),
        };
    }

    /// Whether a finished send interrupts. Off, buffers come back with the next batch in either
    /// direction; switched on when somebody waits for room.
    void interrupt_when_sent(bool on) {
        if (on == sent_interrupt_) return;
        sent_interrupt_ = on;
        if (on)
            regs_.template write<Ims>(Ims::of(Ims::SendWritten{true}));
        else
            regs_.template write<Imc>(Imc::of(Imc::SendWritten{true}));
    }

    /// errors   device_fault
    Result<Link> link() {
        const auto status = regs_.template read<Status>();
        if (status.raw == gone_value) return fail(Err::device_fault);
        if (!status.template get<Status::LinkUp>()) return Link{};
        return Link{
            true,
            speed_of(status.template get<Status::Speed>()),
            status.template get<Status::FullDuplex>()
        };
    }

    /// Receives these groups and no others; the hash lets some more through.
    void set_groups(std::span<const MacAddress> groups) { write_groups(regs_, groups); }

    /// Adds what the device counted since the last call; the sums are since the last reset.
    const Statistics& read_statistics() {
        add_counts(regs_, totals_);
        return totals_;
    }

  private:
    bool gone() { return regs_.template read<Status>().raw == gone_value; }

    void quiesce() {
        regs_.template write<Imc>({0xFFFF'FFFF});
        regs_.template read<Icr>();
        regs_.template write<Rctl>({0});
        regs_.template write<Tctl>({0});
        sent_interrupt_ = false;
    }

    template <class Delay>
    Result<> wait_for_reset(Delay& delay) {
        for (unsigned tries = 0; tries < 100; ++tries) {
            if (gone()) return fail(Err::device_fault);
            if (!regs_.template read<Ctrl>().template get<Ctrl::Reset>()) return {};
            delay(milliseconds(1));
        }
        return fail(Err::device_fault);
    }

    void configure() {
        regs_.template modify<Ctrl>( // 14.3: the PHY negotiates, no flow control, no VLAN
            Ctrl::SetLinkUp{true},
            Ctrl::AutoSpeed{true},
            Ctrl::LinkReset{false},
            Ctrl::PhyReset{false},
            Ctrl::InvertLoss{false},
            Ctrl::ReceiveFlow{false},
            Ctrl::SendFlow{false},
            Ctrl::Vlan{false}
        );
        regs_.template write<FlowAddressLow>({0});
        regs_.template write<FlowAddressHigh>({0});
        regs_.template write<FlowType>({0});
        regs_.template write<FlowTimer>({0});
        regs_.template write<Rxcsum>(Rxcsum::of(Rxcsum::Ip{true}, Rxcsum::Transport{true}));
    }

    template <class Low, class High, class Length, class Head>
    void write_ring(PhysAddr base, uint32_t head) {
        regs_.template write<Low>({static_cast<uint32_t>(base.raw)});
        regs_.template write<High>({static_cast<uint32_t>(base.raw >> 32)});
        regs_.template write<Length>({static_cast<uint32_t>(ring_bytes)});
        regs_.template write<Head>({head});
    }

    void set_interrupts() {
        regs_.template write<Rdtr>({0}); // no timer a frame: the throttle makes the batches
        regs_.template write<Radv>({0});
        regs_.template write<Tidv>({0});
        regs_.template write<Tadv>({0});
        regs_.template write<Itr>(Itr::of(Itr::Interval{throttle}));
        regs_.template write<Ims>(Ims::of(
            Ims::ReceiveTimer{true},
            Ims::ReceiveLow{true},
            Ims::Overrun{true},
            Ims::LinkChange{true}
        ));
    }

    template <class Tail>
    void publish_tail(uint32_t tail, uint32_t& published) {
        if (tail == published) return;
        published = tail;
        // x86 keeps the stores to the descriptors before this one; the compiler too (mmio.hpp).
        regs_.template write<Tail>({tail});
    }

    static constexpr uint32_t speed_of(LinkSpeed speed) {
        switch (speed) {
        case LinkSpeed::mbit_10: return 10;
        case LinkSpeed::mbit_100: return 100;
        default: return 1000;
        }
    }

    hw::Block<Io> regs_;
    Statistics totals_;
    uint32_t rx_published_{}, tx_published_{};
    bool sent_interrupt_{};
};

} // namespace e1000
