// The two descriptor rings in memory shared with the device. A buffer is owned by its descriptor
// from provide/send until take/reclaim hands its tag back. What the device wrote is outside input:
// lengths are held against the buffer, a descriptor it never got is never believed.
// Source: 317453 rev 4.0, sections 3.2 (receive) and 3.3, 3.4 (transmit).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "drivers/e1000/regs.hpp"
#include "lib/base/invariant.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/hw/mmio.hpp"

namespace e1000 {

constexpr uint32_t ring_slots = 256;
constexpr uint32_t buffer_bytes = 2048;
constexpr uint32_t frame_bytes_max = 1514; // without FCS
constexpr uint8_t ethernet_bytes = 14;
constexpr uint32_t frame_bytes_min = ethernet_bytes; // the device pads to 60

struct alignas(16) Descriptor {
    uint64_t address;
    uint64_t word; // an Rx or Tx value
};

static_assert(sizeof(Descriptor) == 16);

using DescriptorRing = std::span<Descriptor, ring_slots>;
constexpr uint64_t ring_bytes = ring_slots * sizeof(Descriptor);

namespace detail {

/// Slots in use lie in [head, tail); one stays empty, since head == tail means none.
class Cursor {
  public:
    bool empty() const { return head_ == tail_; }

    bool full() const { return next(tail_) == head_; }

    uint32_t used() const { return (tail_ - head_) % ring_slots; }

    uint32_t room() const { return ring_slots - 1 - used(); }

    uint32_t head() const { return head_; }

    uint32_t tail() const { return tail_; }

    void advance_head() { head_ = next(head_); }

    void advance_tail() { tail_ = next(tail_); }

  private:
    static uint32_t next(uint32_t i) { return (i + 1) % ring_slots; }

    uint32_t head_{}, tail_{};
};

static_assert((ring_slots & (ring_slots - 1)) == 0, "used() relies on wrapping");

inline uint64_t load_word(const Descriptor& d) {
    return hw::mmio_load64(&d.word);
}

inline void store(Descriptor& d, PhysAddr address, uint64_t word) {
    hw::mmio_store64(&d.address, address.raw);
    hw::mmio_store64(&d.word, word);
}

} // namespace detail

/// A frame that arrived, or a buffer that comes back without one (`bytes` 0).
struct Received {
    uint32_t tag{};
    uint16_t bytes{};
    bool sums_checked{}; // of IP and of TCP or UDP, and found right
};

class RxRing {
  public:
    struct Counters {
        uint64_t frames{}, bytes{};
        uint64_t bad_frames{};  // the device reported an error
        uint64_t bad_lengths{}; // none, or more than the buffer holds
        uint64_t too_long{};    // buffers of frames that did not fit into one
    };

    RxRing(DescriptorRing ring, PhysAddr base) : ring_{ring}, base_{base} {
        for (Descriptor& d : ring_)
            detail::store(d, phys(0), 0);
    }

    PhysAddr base() const { return base_; }

    uint32_t room() const { return cursor_.room(); }

    uint32_t head() const { return cursor_.head(); }

    uint32_t tail() const { return cursor_.tail(); }

    const Counters& counters() const { return counters_; }

    /// Gives the device a buffer of buffer_bytes; `tag` comes back with it.
    ///   errors   no_space
    Result<> provide(PhysAddr buffer, uint32_t tag) {
        if (cursor_.full()) return fail(Err::no_space);
        const uint32_t slot = cursor_.tail();
        tags_[slot] = tag;
        detail::store(ring_[slot], buffer, 0);
        cursor_.advance_tail();
        return {};
    }

    /// The next buffer that the device has finished with, in order.
    std::optional<Received> take() {
        if (cursor_.empty()) return std::nullopt;
        const uint32_t slot = cursor_.head();
        const Rx::Value word{detail::load_word(ring_[slot])}; // one load: checked is what is used
        if (!word.get<Rx::Done>()) return std::nullopt;
        cursor_.advance_head();
        return Received{tags_[slot], judge(word), has_checked_sums(word)};
    }

  private:
    /// 3.2.3.1, 3.2.3.2; of a fragment, or what is not IP, it says nothing.
    static bool has_checked_sums(Rx::Value word) {
        return word.get<Rx::TransportSummed>() && word.get<Rx::IpSummed>() &&
               !word.get<Rx::IgnoreSums>() && (word.get<Rx::Errors>() & rx_sum_errors) == 0;
    }

    uint16_t judge(Rx::Value word) {
        const uint16_t bytes = word.get<Rx::Length>();
        const bool last = word.get<Rx::EndOfPacket>();
        if (!last || in_long_frame_) { // long frames are off: only a confused device does this
            in_long_frame_ = !last;
            ++counters_.too_long;
            return 0;
        }
        if ((word.get<Rx::Errors>() & rx_frame_errors) != 0) {
            ++counters_.bad_frames;
            return 0;
        }
        if (bytes < frame_bytes_min || bytes > buffer_bytes) {
            ++counters_.bad_lengths;
            return 0;
        }
        ++counters_.frames;
        counters_.bytes += bytes;
        return bytes;
    }

    DescriptorRing ring_;
    PhysAddr base_;
    detail::Cursor cursor_;
    std::array<uint32_t, ring_slots> tags_{};
    Counters counters_;
    bool in_long_frame_{};
};

/// What the card is to do with a frame besides sending it.
struct Offload {
    enum class Sum : uint8_t { none, tcp, udp };
    Sum sum{Sum::none};       // fill in this checksum: its field holds the pseudo-header's sum
    uint8_t transport_at{};   // where in the frame the header of TCP or UDP begins
    uint8_t header_bytes{};   // all headers together
    uint16_t segment_bytes{}; // cut the data into segments of so many; 0: do not
};

class TxRing {
  public:
    struct Counters {
        uint64_t frames{}, bytes{}; // as handed over: before they were cut
        uint64_t collisions{};      // not sent: excess or late
        uint64_t full{};            // refused for want of room
        uint64_t refused{};         // too long, or not even a header
    };

    TxRing(DescriptorRing ring, PhysAddr base) : ring_{ring}, base_{base} {
        for (Descriptor& d : ring_)
            detail::store(d, phys(0), 0);
    }

    PhysAddr base() const { return base_; }

    uint32_t room() const { return cursor_.room(); }

    uint32_t head() const { return cursor_.head(); }

    uint32_t tail() const { return cursor_.tail(); }

    bool empty() const { return cursor_.empty(); }

    const Counters& counters() const { return counters_; }

    /// Begins a frame of `bytes` without FCS; add() its pieces next. The owner of the headers has
    /// seen to it that they are where `offload` says (netq::Request).
    ///   errors   no_space; message_too_long; bad_argument (shorter than a header)
    Result<> begin(uint32_t bytes, uint32_t pieces, const Offload& offload = {}) {
        const uint32_t longest = offload.segment_bytes == 0
                                     ? bytes
                                     : uint32_t{offload.header_bytes} + offload.segment_bytes;
        if (longest > frame_bytes_max) return refuse(Err::message_too_long);
        if (bytes < frame_bytes_min) return refuse(Err::bad_argument);
        const bool works = offload.sum != Offload::Sum::none;
        if (cursor_.room() < pieces + (works ? 1 : 0)) {
            ++counters_.full;
            return fail(Err::no_space);
        }
        first_ = cursor_.tail();
        command_ = works ? begin_work(bytes, offload) : plain;
        ++counters_.frames;
        counters_.bytes += bytes;
        return {};
    }

    /// The next piece; `tag` comes back with it. Device::publish tells the device, once a batch.
    void add(PhysAddr at, uint16_t bytes, uint32_t tag, bool last) {
        // A buffer is not larger, and its length has the same place in both kinds of descriptor.
        uint64_t word = command_ | bytes;
        if (last) {
            word |= end;
            last_of_[first_] = static_cast<uint16_t>(cursor_.tail());
        }
        put(at, word, tag);
    }

    /// A frame in one piece.   errors   those of begin()
    Result<> send(PhysAddr frame, uint16_t bytes, uint32_t tag) {
        TRY_VOID(begin(bytes, 1));
        add(frame, bytes, tag, true);
        return {};
    }

    /// The tag of the next buffer whose frame has left, in order. The card reports whole frames.
    std::optional<uint32_t> reclaim() {
        while (cursor_.head() != done_until_ || finish_frame()) {
            const uint32_t tag = tags_[cursor_.head()];
            cursor_.advance_head();
            if (tag != no_tag) return tag;
        }
        return std::nullopt;
    }

  private:
    static constexpr uint32_t no_tag = 0xffff'ffff; // of a context
    static constexpr uint64_t plain = Tx::of(Tx::InsertCrc{true}).raw;
    static constexpr uint64_t end = Tx::of(Tx::EndOfPacket{true}, Tx::Report{true}).raw;
    static_assert(end == TxData::of(TxData::EndOfPacket{true}, TxData::Report{true}).raw);

    /// Has the frame at the head left? All up to its last descriptor is ours again then.
    bool finish_frame() {
        if (cursor_.empty()) return false;
        const uint32_t last = last_of_[cursor_.head()];
        const Tx::Value word{detail::load_word(ring_[last])};
        if (!word.get<Tx::Done>()) return false;
        if (word.get<Tx::Collisions>() != 0) ++counters_.collisions;
        done_until_ = (last + 1) % ring_slots;
        return true;
    }

    /// Lays the context, of each frame its own: so none depends on what the card remembers. What
    /// its data descriptors say.
    uint64_t begin_work(uint32_t bytes, const Offload& offload) {
        const bool tcp = offload.sum == Offload::Sum::tcp;
        const bool cuts = offload.segment_bytes != 0;
        const uint8_t field = offload.transport_at + (tcp ? 16 : 6);
        const auto sums = TxSums::of(
            TxSums::IpStart{ethernet_bytes},
            TxSums::IpField{ethernet_bytes + 10},
            TxSums::IpLast{static_cast<uint16_t>(offload.transport_at - 1)},
            TxSums::TransportStart{offload.transport_at},
            TxSums::TransportField{field}
        );
        const auto context = TxContext::of(
            TxContext::DataBytes{cuts ? bytes - offload.header_bytes : 0},
            TxContext::Tcp{tcp},
            TxContext::Ipv4{cuts},
            TxContext::Segment{cuts},
            TxContext::Extended{true},
            TxContext::HeaderBytes{cuts ? offload.header_bytes : uint8_t{0}},
            TxContext::SegmentBytes{offload.segment_bytes}
        );
        put(phys(sums.raw), context.raw, no_tag);
        return TxData::of(
                   TxData::Type{1},
                   TxData::InsertCrc{true},
                   TxData::Segment{cuts},
                   TxData::Extended{true},
                   TxData::SumIp{cuts}, // else it is right already
                   TxData::SumTransport{true}
        )
            .raw;
    }

    void put(PhysAddr first_half, uint64_t word, uint32_t tag) {
        const uint32_t slot = cursor_.tail();
        tags_[slot] = tag;
        detail::store(ring_[slot], first_half, word);
        cursor_.advance_tail();
    }

    Result<> refuse(Err why) {
        ++counters_.refused;
        return fail(why);
    }

    DescriptorRing ring_;
    PhysAddr base_;
    detail::Cursor cursor_;
    uint32_t done_until_{}; // frames before this slot have left
    uint32_t first_{};      // slot of the frame that is being laid
    uint64_t command_{};    // of its descriptors
    std::array<uint32_t, ring_slots> tags_{};
    std::array<uint16_t, ring_slots> last_of_{}; // by the first slot of a frame
    Counters counters_;
};

} // namespace e1000
