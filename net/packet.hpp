// A packet on its way out: headers are laid in front of each other into head room, the payload is
// pieces of somebody else's memory. Nothing is copied until the link takes the frame.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "lib/base/bytes.hpp"
#include "lib/base/invariant.hpp"

namespace net {

class OutPacket {
  public:
    /// Ethernet 14, IPv4 20, TCP with all options 60, and an ICMP or UDP header to spare.
    static constexpr size_t head_room = 112;
    static constexpr size_t most_pieces = 3;

    OutPacket() = default;

    explicit OutPacket(std::span<const Bytes> payload) {
        for (const Bytes piece : payload)
            append(piece);
    }

    void append(Bytes piece) {
        if (piece.empty()) return;
        INVARIANT(count_ < most_pieces, "a payload has at most three pieces");
        pieces_[++count_] = piece;
        size_ += piece.size();
    }

    template <Header H>
    void prepend(const H& header) {
        prepend_bytes({as_bytes(header).data(), sizeof(H)});
    }

    void prepend_bytes(Bytes bytes) {
        INVARIANT(bytes.size() <= start_, "head room is for all headers together");
        start_ -= bytes.size();
        size_ += bytes.size();
        __builtin_memcpy(head_.data() + start_, bytes.data(), bytes.size());
    }

    bool dont_fragment{}; // RFC 1191: for who wants to hear how much the path takes

    /// Header bytes so far, the outermost first.
    Bytes headers() const { return Bytes{head_}.subspan(start_); }

    size_t size() const { return size_; }

    std::span<const Bytes> payload() const {
        return std::span<const Bytes>{pieces_}.subspan(1, count_);
    }

    /// Headers and payload, ready for Link::transmit(); valid until the packet changes.
    std::span<const Bytes> pieces() {
        pieces_[0] = headers();
        return std::span<const Bytes>{pieces_}.first(1 + count_);
    }

  private:
    template <class H>
    static std::span<const std::byte, sizeof(H)> as_bytes(const H& header) {
        return std::as_bytes(std::span<const H, 1>{&header, 1});
    }

    std::array<std::byte, head_room> head_; // filled from the back; not cleared on purpose
    std::array<Bytes, most_pieces + 1> pieces_{};
    size_t start_{head_room};
    size_t count_{};
    size_t size_{};
};

} // namespace net
