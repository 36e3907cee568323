// Packets that we send to ourselves wait here until the call that sent them is done: a packet is
// never received in the middle of sending it.
#pragma once

#include <algorithm>
#include <span>

#include "lib/base/result.hpp"
#include "net/arena.hpp"
#include "net/packet.hpp"

namespace net {

class Loopback {
  public:
    Loopback(Arena& arena, size_t packets, size_t packet_bytes)
        : sizes_{arena.make<size_t>(packets)}, memory_{arena.bytes(packets * packet_bytes)},
          packet_bytes_{packet_bytes} {}

    /// errors   no_space
    Result<> push(OutPacket& packet) {
        if (count_ == sizes_.size()) return fail(Err::no_space);
        const size_t slot = (first_ + count_++) % sizes_.size();
        auto room = memory_.subspan(slot * packet_bytes_, packet_bytes_);
        sizes_[slot] = packet.size();
        for (const Bytes piece : packet.pieces()) {
            std::ranges::copy(piece, room.begin());
            room = room.subspan(piece.size());
        }
        return {};
    }

    bool empty() const { return count_ == 0; }

    /// The oldest packet; its memory stays as it is until pop().
    Bytes front() const { return memory_.subspan(first_ * packet_bytes_, sizes_[first_]); }

    void pop() {
        first_ = (first_ + 1) % sizes_.size();
        --count_;
    }

  private:
    std::span<size_t> sizes_;
    MutableBytes memory_;
    size_t packet_bytes_;
    size_t first_{}, count_{};
};

} // namespace net
