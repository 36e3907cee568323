// Moves buffers between the stack's queues and the card's rings: all that the driver does when it
// is woken, without knowing by whom. Every buffer is in one place at a time; what the stack hands
// over twice, or without having it, is counted and dropped.
#pragma once

#include <cstdint>
#include <optional>

#include "drivers/e1000/device.hpp"
#include "drivers/e1000/rings.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/netq/custody.hpp"
#include "lib/netq/layout.hpp"
#include "lib/netq/request.hpp"

namespace e1000 {

constexpr size_t pool_buffers_max = 4096;
static_assert(netq::buffer_bytes == buffer_bytes, "the card fills a whole buffer of the pool");

template <hw::RegisterIo Io>
class Pump {
  public:
    struct Counters {
        uint64_t foreign{};  // descriptors or buffers that break the rules of the queue
        uint64_t no_room{};  // received frames dropped since the stack does not read
        uint64_t not_sent{}; // buffers given back unsent
    };

    /// `area_at` is where the shared area begins in physical memory.
    ///   errors   no_space (the area has more buffers than we can keep account of)
    static Result<Pump>
    over(Device<Io>& device, RxRing& rx, TxRing& tx, const netq::Area& area, PhysAddr area_at) {
        if (area.layout().buffers > pool_buffers_max) return fail(Err::no_space);
        return Pump{device, rx, tx, area, area_at};
    }

    /// Does everything there is to do, in both directions; at most one store to each tail.
    ///   result   whether the stack should hear of it: ring if it sleeps
    bool run() {
        reclaim();
        receive();
        refill();
        transmit();
        device_->publish(*rx_);
        device_->publish(*tx_);
        reclaim(); // QEMU's card has sent by now
        // Buffers still in the card come back by interrupt: the stack may wait for just these. A
        // cause that fell in between is latched, so the interrupt follows at once.
        device_->interrupt_when_sent(!tx_->empty());
        side_.rx_provide.acknowledge();
        side_.tx_provide.acknowledge();
        const bool sent = side_.tx_return.take_published() && may_be_awaited();
        return side_.rx_return.take_published() || sent;
    }

    /// The last look before going to sleep. Frames in the card's ring raise an interrupt, and while
    /// it has buffers enough those go on to it then.
    bool has_work() const {
        return (side_.rx_provide.has_any() && rx_->room() >= ring_slots / 2) ||
               (side_.tx_provide.has_any() && tx_->room() >= request_slots);
    }

    const Counters& counters() const { return counters_; }

  private:
    /// What a request may take of the card's ring: its pieces, and a context.
    static constexpr uint32_t request_slots = netq::request_pieces_max + 1;

    Pump(Device<Io>& device, RxRing& rx, TxRing& tx, const netq::Area& area, PhysAddr area_at)
        : device_{&device}, rx_{&rx}, tx_{&tx}, layout_{area.layout()}, side_{area.driver()},
          area_at_{area_at} {}

    void receive() {
        // Only what was there at first: frames that keep coming must not starve the other side.
        for (uint32_t n = 0; n < ring_slots; ++n) {
            const auto got = rx_->take();
            if (!got) return;
            const uint16_t flags =
                got->sums_checked ? std::to_underlying(netq::Flag::sums_checked) : uint16_t{0};
            if (got->bytes == 0 || !give(side_.rx_return, {got->tag, 0, got->bytes, flags})) {
                if (got->bytes != 0) ++counters_.no_room;
                provide(got->tag); // its buffer goes round again
            }
        }
    }

    void refill() {
        for (uint32_t n = 0; n < ring_slots && rx_->room() > 0; ++n) {
            if (!side_.rx_provide.has_any()) return;
            if (const auto d = accept(side_.rx_provide)) provide(d->buffer);
        }
    }

    void transmit() {
        for (uint32_t n = 0; n < ring_slots && tx_->room() >= request_slots; ++n) {
            if (!side_.tx_provide.has_any()) return;
            const auto d = accept(side_.tx_provide);
            if (!d) {
                refuse();
                request_.cut_off();
                continue;
            }
            const auto step = request_.add(*d);
            if (step == netq::Request::Step::goes_on) continue;
            if (step == netq::Request::Step::refused || !send()) refuse();
            request_.clear();
        }
    }

    /// The next buffer, if the stack had it to give.
    std::optional<netq::Descriptor> accept(netq::Consumer& queue) {
        const auto d = queue.take();
        if (d && *d && custody_.enter((*d)->buffer)) return *d;
        ++counters_.foreign;
        return std::nullopt;
    }

    /// The request as it was gathered, if the card takes such a frame.
    bool send() {
        const auto pieces = request_.pieces();
        const auto count = static_cast<uint32_t>(pieces.size());
        if (!tx_->begin(request_.bytes(), count, offload_of(request_.first()))) return false;
        for (const netq::Descriptor& d : pieces)
            tx_->add(address(d.buffer, d.offset), d.bytes, d.buffer, !d.has(netq::Flag::more));
        return true;
    }

    static Offload offload_of(const netq::Descriptor& d) {
        const bool tcp = d.has(netq::Flag::sum_tcp), udp = d.has(netq::Flag::sum_udp);
        if (!tcp && !udp) return {};
        return {
            .sum = tcp ? Offload::Sum::tcp : Offload::Sum::udp,
            .transport_at = d.transport_at,
            .header_bytes = d.header_bytes,
            .segment_bytes = d.has(netq::Flag::segment) ? d.segment_bytes : uint16_t{0},
        };
    }

    /// What was gathered goes back as it came.
    void refuse() {
        for (const netq::Descriptor& d : request_.pieces()) {
            ++counters_.not_sent;
            give(side_.tx_return, {d.buffer, 0, 0, std::to_underlying(netq::Flag::not_sent)});
        }
    }

    void reclaim() {
        while (const auto tag = tx_->reclaim())
            give(side_.tx_return, {*tag, 0, 0, 0});
    }

    /// False when the stack does not take what is its own: then we still have the buffer.
    bool give(netq::Producer& queue, const netq::Descriptor& d) {
        if (!queue.push(d)) {
            ++counters_.foreign;
            return false;
        }
        INVARIANT(custody_.leave(d.buffer).has_value(), "what the card has, came in through us");
        return true;
    }

    void provide(uint32_t buffer) {
        INVARIANT(rx_->provide(address(buffer, 0), buffer).has_value(), "there was room");
    }

    /// A stack without a free buffer sleeps until some come back; it has more than these to send
    /// from, so all of them are on their way then, and make the number.
    bool may_be_awaited() {
        const auto untaken = side_.tx_return.untaken();
        return !untaken || *untaken >= layout_.buffers / 8;
    }

    PhysAddr address(uint32_t buffer, uint16_t offset) const {
        return area_at_ + layout_.offset_of(buffer, offset);
    }

    Device<Io>* device_;
    RxRing* rx_;
    TxRing* tx_;
    netq::Layout layout_;
    netq::DriverSide side_;
    PhysAddr area_at_;
    netq::Custody<pool_buffers_max> custody_;
    netq::Request request_; // its beginning may have come before its end
    Counters counters_;
};

} // namespace e1000
