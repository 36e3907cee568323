// An application in the stack's own process: a session of netd's, a channel as between two domains,
// and the sockets of lib/os on top of it.
#pragma once

#include <memory>
#include <vector>

#include "lib/os/socket.hpp"
#include "lib/ump/layout.hpp"
#include "net/netd/session.hpp"

namespace tapstack {

/// A channel's frame in ordinary memory.
class ChannelFrame {
  public:
    ChannelFrame() : lines_{std::make_unique<Line[]>(count)} {}

    ump::Layout layout() const {
        const auto carved =
            ump::Layout::carve(std::as_writable_bytes(std::span{lines_.get(), count}), lines_each);
        INVARIANT(carved.has_value(), "so large is the frame");
        return *carved;
    }

  private:
    struct alignas(64) Line {
        std::array<std::byte, 64> raw{};
    };

    static constexpr size_t lines_each = 16;
    static constexpr size_t count = (ump::Layout::bytes_for(lines_each) + 63) / 64;

    std::unique_ptr<Line[]> lines_;
};

struct Application {
    static constexpr uint32_t chunk_bytes = 65536; // a whole UDP datagram

    /// `bell` is rung for either side, as both are on `loop`.
    Application(async::Loop& loop, netd::Host& host, rpc::Bell& bell, size_t chunks)
        : area(chunks * chunk_bytes), session{host, area}, server_side{session},
          server_end{loop, server(bell), server_side}, client_end{loop, user(bell), client_side},
          client{client_end}, network{loop, client, area, chunk_bytes} {}

    /// Once, before the loop runs.   errors   no_slots
    Result<> enter() { return session.enter(); }

    std::vector<std::byte> area;
    netd::Session session;
    interfaces::socket::ServerSide<netd::Session> server_side;
    rpc::OnlyCalls client_side;
    ChannelFrame frame;
    ump::Layout layout{frame.layout()};
    rpc::Channel server_end, client_end;
    interfaces::socket::Client client;
    os::Network network;

  private:
    rpc::Setup server(rpc::Bell& bell) const {
        return {
            .side = layout.server(),
            .bell = &bell,
            .contract = interfaces::socket::contract,
            .calls_at_a_time = 250
        };
    }

    rpc::Setup user(rpc::Bell& bell) const {
        return {.side = layout.client(), .bell = &bell, .contract = interfaces::socket::contract};
    }
};

} // namespace tapstack
