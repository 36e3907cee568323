// One application's raw sockets: lib/interfaces/raw.if carried out on the stack.
#pragma once

#include <array>
#include <optional>

#include "interfaces/raw.hpp"
#include "lib/async/sync.hpp"
#include "net/netd/host.hpp"

namespace netd::raw {

namespace api = interfaces::raw;

class Server : public SocketOwner {
  public:
    static constexpr size_t sockets_max = 2; // of an application

    /// `area` is the bulk part of the channel.
    Server(Host& host, MutableBytes area);
    Server(const Server&) = delete;
    ~Server();

    /// Before the first request. Errors: no_slots.
    Result<> enter();

    async::Task<api::OpenResult> open(api::OpenArguments a);
    async::Task<> send(api::SendArguments a);
    async::Task<api::ReceiveResult> receive(api::ReceiveArguments a);
    async::Task<> close(api::CloseArguments a);

    void socket_event(uint16_t, net::EventSet) override { changed_.notify(); }

  private:
    Result<net::SocketId> find(uint32_t handle) const;
    Result<MutableBytes> room(uint32_t offset, uint32_t bytes) const;

    Host& host_;
    MutableBytes area_;
    async::Signal changed_; // of any of them: they are few
    std::array<std::optional<net::SocketId>, sockets_max> open_{};
    uint8_t number_{};
    bool entered_{};
};

} // namespace netd::raw
