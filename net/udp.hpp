// UDP (RFC 768, RFC 1122 4.1): datagrams to sockets by port, each socket with its own queue.
#pragma once

#include <optional>

#include "net/byte_ring.hpp"
#include "net/icmp.hpp"
#include "net/ip.hpp"
#include "net/socket_table.hpp"

namespace net {

struct DatagramSocket : SocketBase {
    DatagramSocket* next_free{};
    DatagramSocket* next_in_port{};
    Endpoint local;
    Endpoint remote; // connected to; port any: to nobody
    DatagramOptions options;
    uint16_t generation{};
    bool waits_for_link{};
    ByteRing queue; // records: RecordHeader, then the datagram
};

struct UdpDatagram {
    Endpoint from, to;
    Bytes payload;
};

class Udp {
  public:
    Udp(Arena& arena,
        const Config& config,
        Ip& ip,
        NewsQueue& news,
        Random& random,
        Drops& drops,
        Counters& counters);

    std::optional<UdpDatagram> parse(const Ipv4Packet& packet);
    /// False: nobody listens there.
    bool deliver(const UdpDatagram& datagram);
    void trouble(const Trouble& trouble);
    void link_ready();

    /// errors   as Ip::output, message_too_long
    Result<> output(
        Endpoint from,
        Endpoint to,
        Bytes payload,
        Way way,
        Instant now,
        const DatagramOptions& options = {}
    );

    Result<SocketId> bind(Endpoint local, uint64_t cookie);
    Result<> send_to(SocketId socket, Endpoint to, Bytes payload, Instant now);
    Result<> connect(SocketId socket, Endpoint remote);
    Result<> configure(SocketId socket, const DatagramOptions& options);
    Result<DatagramInfo> receive_from(SocketId socket, MutableBytes room, bool take);
    Result<> close(SocketId socket);
    Result<EventSet> ready(SocketId socket) const;
    Result<SocketInfo> info(SocketId socket) const;

    using Table = SocketTable<DatagramSocket, SocketKind::datagram>;

    const Table& sockets() const { return sockets_; }

    static constexpr size_t most_payload_bytes = 65535 - 20 - 8;

  private:
    Result<Port> choose_port(Ipv4Address address);

    Ip& ip_;
    NewsQueue& news_;
    Random& random_;
    Drops& drops_;
    Counters& counters_;
    Table sockets_;
    PortMap<DatagramSocket> ports_;
};

} // namespace net
