// An application in the stack's own domain: a session, a channel as between two domains, though
// nobody needs to be woken, and the sockets of lib/os on top of it.
#pragma once

#include "lib/os/socket.hpp"
#include "lib/ump/layout.hpp"
#include "net/netd/session.hpp"

namespace netd {

/// Rung for who is on the same loop: that looks at every channel before it sleeps, but for those
/// that have been silent.
class NearBell final : public rpc::Bell {
  public:
    NearBell(async::Loop& loop, async::Source& peer) : loop_{loop}, peer_{&peer} {}

    void ring() override {
        if (peer_ != nullptr) loop_.heat(*peer_);
    }

    /// The peer goes.
    void forget() { peer_ = nullptr; }

  private:
    async::Loop& loop_;
    async::Source* peer_;
};

class Application {
  public:
    static constexpr size_t lines = 16; // of the channel, each way

    static constexpr size_t memory_needed(size_t chunks, uint32_t chunk_bytes) {
        return ump::Layout::bytes_for(lines) + chunks * chunk_bytes;
    }

    /// `memory` is zero, aligned to a line, and outlives it: the channel, then as many chunks as
    /// there is room for.
    Application(async::Loop& loop, Host& host, MutableBytes memory, uint32_t chunk_bytes)
        : area_{memory.subspan(ump::Layout::bytes_for(lines))}, session_{host, area_},
          server_side_{session_}, layout_{layout_of(memory)}, to_server_{loop, server_end_},
          to_client_{loop, client_end_},
          server_end_{
              loop,
              rpc::Setup{
                  .side = layout_.server(),
                  .bell = &to_client_,
                  .contract = interfaces::socket::contract,
                  .calls_at_a_time = 250
              },
              server_side_
          },
          client_end_{
              loop,
              rpc::Setup{
                  .side = layout_.client(),
                  .bell = &to_server_,
                  .contract = interfaces::socket::contract
              },
              client_side_
          },
          client_{client_end_}, network_{loop, client_, area_, chunk_bytes} {}

    Application(const Application&) = delete;

    ~Application() {
        to_server_.forget();
        to_client_.forget();
    }

    /// Once, before the first call.   errors   no_slots
    Result<> enter() { return session_.enter(); }

    os::Network& network() { return network_; }

  private:
    static ump::Layout layout_of(MutableBytes memory) {
        const auto carved = ump::Layout::carve(memory.first(ump::Layout::bytes_for(lines)), lines);
        INVARIANT(carved.has_value(), "memory_needed() counts it in, and it is aligned");
        return *carved;
    }

    MutableBytes area_;
    Session session_;
    interfaces::socket::ServerSide<Session> server_side_;
    rpc::OnlyCalls client_side_;
    ump::Layout layout_;
    NearBell to_server_, to_client_;
    rpc::Channel server_end_, client_end_;
    interfaces::socket::Client client_;
    os::Network network_;
};

} // namespace netd
