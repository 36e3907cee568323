// A frame that the stack wants to have sent, gathered from the descriptors that carry it, and what
// is left to the device to do with it. What breaks the rules is never sent: it is given back whole.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/netq/ring.hpp"

namespace netq {

/// The longest IP packet behind an Ethernet header.
constexpr uint32_t request_bytes_max = 14 + 65535;
constexpr size_t request_pieces_max = request_bytes_max / buffer_bytes + 2; // a header of its own

class Request {
  public:
    enum class Step : uint8_t {
        goes_on, // more of it is to come
        whole,   // send pieces(), then clear()
        refused, // give pieces() back, then clear(): it, or what it belongs to, breaks the rules
    };

    static constexpr uint16_t segment_bytes_least = 32; // shorter: not worth a card's while

    /// The next descriptor from the stack; there is room, as each step but goes_on ends in clear().
    Step add(const Descriptor& d) {
        pieces_[count_++] = d;
        bytes_ += d.bytes;
        has_empty_ |= d.bytes == 0;
        refusing_ |= count_ == request_pieces_max && d.has(Flag::more);
        if (refusing_) return Step::refused;
        if (d.has(Flag::more)) return Step::goes_on;
        return keeps_rules() ? Step::whole : Step::refused;
    }

    std::span<const Descriptor> pieces() const { return std::span{pieces_}.first(count_); }

    /// What the flags ask for is said by the first one.
    const Descriptor& first() const { return pieces_[0]; }

    uint32_t bytes() const { return bytes_; }

    /// The rest of a refused one is refused as it comes.
    void clear() {
        const bool at_end = count_ == 0 || !pieces_[count_ - 1].has(Flag::more);
        refusing_ = refusing_ && !at_end;
        has_empty_ = false;
        count_ = 0;
        bytes_ = 0;
    }

    /// A descriptor was no good, and nobody knows whether more was to follow: what it belonged to
    /// ends here.
    void cut_off() {
        clear();
        refusing_ = false;
    }

  private:
    static constexpr uint8_t transport_at_least = 14 + 20, tcp_bytes_least = 20;

    bool keeps_rules() const {
        const Descriptor& d = first();
        if (bytes_ > request_bytes_max || has_empty_) return false;
        const bool tcp = d.has(Flag::sum_tcp), udp = d.has(Flag::sum_udp);
        if (!tcp && !udp) return !d.has(Flag::segment);
        if ((tcp && udp) || d.transport_at < transport_at_least) return false;
        // A card names the field by a byte of its own (317453, 3.3.6): where it is has to fit.
        if (d.transport_at + (tcp ? 16u : 6u) > 255) return false;
        // The header that is to be worked on lies in the first buffer.
        const uint32_t header_end = d.transport_at + (tcp ? uint32_t{tcp_bytes_least} : 8u);
        if (d.bytes < header_end) return false;
        if (!d.has(Flag::segment)) return true;
        return tcp && d.header_bytes >= header_end && d.header_bytes <= d.bytes &&
               d.header_bytes < bytes_ && d.segment_bytes >= segment_bytes_least;
    }

    std::array<Descriptor, request_pieces_max> pieces_;
    size_t count_{};
    uint32_t bytes_{};
    bool refusing_{}, has_empty_{};
};

} // namespace netq
