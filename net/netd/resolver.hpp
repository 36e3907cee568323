// Names to addresses, asked of a server with the stack's own sockets. Every question has a port and
// a number of its own that an outsider cannot guess (RFC 5452); what is not the answer is waited
// past.
#pragma once

#include <array>
#include <optional>

#include "lib/async/sync.hpp"
#include "net/dns/message.hpp"
#include "net/netd/host.hpp"
#include "net/siphash.hpp"

namespace netd {

class Resolver final : public SocketOwner {
  public:
    Resolver(Host& host, net::SecretKey secret) : host_{host}, random_{secret} {}

    Resolver(const Resolver&) = delete;
    ~Resolver();

    /// Before the first question. Errors: no_slots.
    Result<> enter();

    /// errors   bad_argument (no such name can be), not_found (no name, or none with an address),
    ///          timed_out, refused by the server or by what it answered (malformed), no server
    async::Task<net::dns::Answer> resolve(net::Ipv4Address server, std::string_view name);

    void socket_event(uint16_t, net::EventSet) override { changed_.notify(); }

  private:
    /// Closes what it was given.
    struct Closing {
        Host& host;
        net::SocketId socket;
        bool stream;

        ~Closing();
    };

    async::Task<net::dns::Answer> ask(net::Ipv4Address server, net::dns::Name name);
    async::Task<net::dns::Answer>
    ask_once(net::Ipv4Address server, net::dns::Name name, Duration patience);
    async::Task<net::dns::Answer> ask_by_stream(net::Ipv4Address server, net::dns::Name name);
    async::Task<> connected(net::SocketId socket, Instant until);
    async::Task<> send(net::SocketId socket, Bytes data, Instant until);
    async::Task<> receive(net::SocketId socket, MutableBytes room, Instant until);

    Host& host_;
    net::Random random_;
    uint8_t number_{};
    bool entered_{};
    async::Signal changed_{host_.loop()};
    async::Semaphore one_question_{host_.loop(), 1};
    std::array<std::byte, 4096> room_{}; // a message, over TCP with its length in front
};

} // namespace netd
