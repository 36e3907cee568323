// A packet on its way out: headers are laid in front of each other into head room, the payload is
// pieces of somebody else's memory. Nothing is copied until the link takes the frame.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "lib/base/bytes.hpp"
#include "lib/base/invariant.hpp"
#include "net/link.hpp"

namespace net {

class OutPacket {
  public:
    /// Ethernet 14, IPv4 20, TCP with all options 60, and an ICMP or UDP header to spare.
    static constexpr size_t head_room = 112;
    static constexpr size_t most_pieces = 3;
    static constexpr uint8_t usual_time_to_live = 64;

    OutPacket() = default;

    explicit OutPacket(std::span<const Bytes> payload) {
        for (const Bytes piece : payload)
            append(piece);
    }

    [[gnu::always_inline]] void append(Bytes piece) {
        if (piece.empty()) return;
        INVARIANT(count_ < most_pieces, "a payload has at most three pieces");
        pieces_[++count_] = piece;
        size_ += piece.size();
    }

    template <Header H>
    void prepend(const H& header) {
        INVARIANT(sizeof(H) <= start_, "head room is for all headers together");
        start_ -= sizeof(H);
        size_ += sizeof(H);
        __builtin_memcpy(head_.data() + start_, &header, sizeof(H));
    }

    /// Bytes from..to of what follows each other.
    void append_part(std::span<const Bytes> pieces, size_t from, size_t to) {
        size_t at = 0; // where the piece begins
        for (const Bytes piece : pieces) {
            const size_t begin = std::clamp(from, at, at + piece.size()) - at;
            const size_t end = std::clamp(to, at, at + piece.size()) - at;
            append(piece.subspan(begin, end - begin));
            at += piece.size();
        }
    }

    void prepend_bytes(Bytes bytes) {
        INVARIANT(bytes.size() <= start_, "head room is for all headers together");
        start_ -= bytes.size();
        size_ += bytes.size();
        __builtin_memcpy(head_.data() + start_, bytes.data(), bytes.size());
    }

    bool dont_fragment{};          // RFC 1191: for who wants to hear how much the path takes
    bool has_manner{};             // the next two are not the usual ones
    uint8_t service, time_to_live; // valid if so; not set on purpose

    /// Of TCP: not 0, if the payload is longer and goes as segments of so many bytes (LinkWork).
    uint16_t segment_bytes{};
    /// Of those, what found no room, if some did.
    uint32_t left_out{};

    size_t segments() const {
        return (size_ - headers().size() + segment_bytes - 1) / segment_bytes;
    }

    void set_manner(uint8_t wanted_service, uint8_t wanted_time_to_live) {
        service = wanted_service;
        time_to_live = wanted_time_to_live;
        has_manner = wanted_service != 0 || wanted_time_to_live != usual_time_to_live;
    }

    void set_manner(const OutPacket& other) {
        if (other.has_manner) set_manner(other.service, other.time_to_live);
    }

    /// The outermost header is that of TCP or UDP, and its checksum is left to the link.
    void leave_sum(LinkWork::Sum sum) {
        sum_ = sum;
        transport_bytes_ = uint8_t(headers().size());
    }

    /// After all: the link will be known later only.
    void finish_sum();

    /// What is left to the link, when all headers are there.
    LinkWork work() const {
        if (sum_ == LinkWork::Sum::none) return {};
        const auto bytes = uint8_t(headers().size());
        return {sum_, uint8_t(bytes - transport_bytes_), bytes, segment_bytes};
    }

    /// Header bytes so far, the outermost first.
    Bytes headers() const { return {head_.data() + start_, head_room - start_}; }

    /// Fills in a field of the outermost header.
    template <Header F>
    void patch(size_t offset, const F& field) {
        INVARIANT(start_ + offset + sizeof field <= head_room, "the field is of a header");
        __builtin_memcpy(head_.data() + start_ + offset, &field, sizeof field);
    }

    size_t size() const { return size_; }

    std::span<const Bytes> payload() const { return {pieces_.data() + 1, count_}; }

    /// Headers and payload, ready for Link::transmit(); valid until the packet changes.
    std::span<const Bytes> pieces() {
        pieces_[0] = headers();
        return {pieces_.data(), 1 + count_};
    }

  private:
    std::array<std::byte, head_room> head_; // filled from the back; not cleared on purpose
    std::array<Bytes, most_pieces + 1> pieces_{};
    LinkWork::Sum sum_{LinkWork::Sum::none};
    uint8_t transport_bytes_{};
    size_t start_{head_room};
    size_t count_{};
    size_t size_{};
};

} // namespace net
