// Whole packets of the network stack, for a domain with `control` (lib/interfaces/raw.if): a raw
// socket gives and takes packets of one IP protocol, or frames of a link.
#pragma once

#include <algorithm>

#include "interfaces/raw.hpp"
#include "lib/async/loop.hpp"
#include "lib/base/bytes.hpp"
#include "lib/os/channel.hpp"

namespace os {

/// One at a time of its binding. Send and receive take turns in its room.
class RawSocket {
  public:
    static constexpr uint32_t packet_bytes_max = 65535;

    explicit RawSocket(Domain& domain) : binding_{domain} {}

    /// Waits for the stack.   errors   cap_rights (this domain has no control), bad_argument,
    /// no_slots
    async::Task<> open(interfaces::raw::Kind kind, uint16_t number, uint8_t link = 0) {
        co_await binding_.open(
            {.name = "raw", .contract = interfaces::raw::contract, .bulk_bytes = 2 * room_bytes}
        );
        socket_ = (co_await client().open(kind, number, link)).socket;
        co_return {};
    }

    struct Received {
        Bytes packet; // until the next receive()
        uint32_t full_bytes;
        uint8_t link;
    };

    async::Task<Received> receive() {
        const auto got = co_await client().receive(socket_, 0, packet_bytes_max);
        const uint32_t bytes = std::min(got.received, packet_bytes_max);
        co_return Received{binding_.bulk().first(bytes), got.length, got.link};
    }

    /// errors   message_too_long, network_unreachable
    async::Task<> send(Bytes packet, std::array<uint8_t, 4> to = {}) {
        if (packet.size() > packet_bytes_max) co_await fail(Err::message_too_long);
        std::ranges::copy(packet, binding_.bulk().begin() + room_bytes);
        co_await client().send(socket_, room_bytes, static_cast<uint32_t>(packet.size()), to);
        co_return {};
    }

  private:
    static constexpr uint32_t room_bytes = 65536;

    interfaces::raw::Client client() { return interfaces::raw::Client{binding_.channel()}; }

    Binding binding_;
    uint32_t socket_{};
};

} // namespace os
