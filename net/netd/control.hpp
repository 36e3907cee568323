// The stack's own state for the shell, and echo requests on its behalf: lib/interfaces/netctl.if.
#pragma once

#include <array>
#include <optional>

#include "interfaces/netctl.hpp"
#include "net/netd/host.hpp"
#include "net/netd/nic_port.hpp"
#include "net/netd/resolver.hpp"

namespace netd {

/// How the interface came by its address.
enum class Source : uint32_t { none, configured, dhcp, fallback, routing };

/// What is known of the interface beside what the stack knows.
struct InterfaceState {
    bool link{};
    uint32_t speed{};
    Source source{};
    net::Ipv4Address gateway, dns;
};

namespace control {

namespace api = interfaces::netctl;

class Server : public SocketOwner {
  public:
    /// `states` has one for each link there may be.
    Server(Host& host, std::span<InterfaceState* const> states, Resolver& resolver)
        : host_{host}, states_{states}, resolver_{resolver} {}

    Server(const Server&) = delete;
    ~Server();

    /// Before the first request. Errors: no_slots.
    Result<> enter();

    void set_port(const NicPort& port) { port_ = &port; }

    async::Task<api::AddressResult> address(api::AddressArguments a);
    async::Task<api::ResolveResult> resolve(api::ResolveArguments a);
    async::Task<api::PingResult> ping(api::PingArguments a);
    async::Task<api::ConnectionResult> connection(api::ConnectionArguments a);
    async::Task<api::CounterResult> counter(api::CounterArguments a);
    async::Task<api::NeighbourResult> neighbour(api::NeighbourArguments a);

    void socket_event(uint16_t index, net::EventSet what) override;

  private:
    Result<> open_pinger();

    Host& host_;
    std::span<InterfaceState* const> states_;
    Resolver& resolver_;
    const NicPort* port_{};
    uint8_t number_{};
    bool entered_{};
    std::optional<net::SocketId> pinger_;
    async::Signal echoed_{host_.loop()};
    async::Semaphore one_ping_{host_.loop(), 1}; // replies are told apart by sequence only
};

} // namespace control
} // namespace netd
