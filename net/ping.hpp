// Echo sockets: ask whether a host answers, and how long that takes.
#pragma once

#include <array>

#include "net/icmp.hpp"
#include "net/socket_table.hpp"

namespace net {

struct PingSocket : SocketBase {
    struct Question {
        uint16_t sequence{};
        bool open{};
        Instant sent{};
    };

    static constexpr size_t most_open = 16;

    PingSocket* next_free{};
    uint16_t generation{};
    uint16_t identifier{};
    std::array<Question, most_open> questions; // the oldest is overwritten
    size_t next_question{};
    std::array<PingReply, most_open> replies;
    size_t first_reply{}, reply_count{};
};

class Ping {
  public:
    Ping(
        Arena& arena,
        const Config& config,
        Ip& ip,
        Icmp& icmp,
        NewsQueue& news,
        Random& random,
        Drops& drops
    );

    void reply(const Ipv4Packet& packet, const Icmp::EchoReply& reply, Instant now);
    void trouble(const Trouble& trouble, Instant now);

    Result<SocketId> open(uint64_t cookie);
    Result<>
    send(SocketId socket, Ipv4Address to, uint16_t sequence, size_t payload_bytes, Instant now);
    Result<PingReply> receive(SocketId socket);
    Result<> close(SocketId socket);
    Result<EventSet> ready(SocketId socket) const;

    using Table = SocketTable<PingSocket, SocketKind::ping>;

    const Table& sockets() const { return sockets_; }

  private:
    static constexpr size_t most_payload_bytes = 65535 - 20 - 8;

    PingSocket* find(uint16_t identifier);
    void finish(PingSocket& socket, PingReply reply, Instant now);

    Ip& ip_;
    Icmp& icmp_;
    NewsQueue& news_;
    Random& random_;
    Drops& drops_;
    Table sockets_;
    MutableBytes pattern_;
};

} // namespace net
