// Whole packets past the protocols: what comes is also given to who asks for it, and what they hand
// over goes out as it is. The owner of the stack decides who may.
#pragma once

#include "net/byte_ring.hpp"
#include "net/interface.hpp"
#include "net/ip.hpp"
#include "net/socket_table.hpp"

namespace net {

struct RawSocket : SocketBase {
    RawSocket* next_free{};
    uint16_t generation{};
    bool waits_for_link{};
    RawFilter filter;
    ByteRing queue; // records: RecordHeader, then the packet
};

class Raw {
  public:
    Raw(Arena& arena,
        const Config& config,
        Ip& ip,
        Interfaces& interfaces,
        NewsQueue& news,
        Drops& drops);

    /// Has anybody asked? Else nothing needs to be delivered.
    bool any() const { return open_ != 0; }

    /// Every frame, before anybody judges it.
    void deliver_frame(Bytes frame, LinkNumber from);
    /// A packet for us, put together again, its header checked. False: nobody asked for its
    /// protocol.
    bool deliver_packet(const Ipv4Packet& packet);
    void link_ready();

    Result<SocketId> open(const RawFilter& filter, uint64_t cookie);
    Result<> send(SocketId socket, Ipv4Address to, Bytes data, Instant now);
    Result<RawInfo> receive(SocketId socket, MutableBytes room);
    Result<> close(SocketId socket);
    Result<EventSet> ready(SocketId socket) const;

    using Table = SocketTable<RawSocket, SocketKind::raw>;

    const Table& sockets() const { return sockets_; }

  private:
    void keep(RawSocket& socket, Bytes packet, LinkNumber from);
    Result<> send_packet(uint8_t protocol, Ipv4Address to, Bytes data, Instant now);
    Result<> send_frame(LinkNumber by, Bytes frame);

    Ip& ip_;
    Interfaces& interfaces_;
    NewsQueue& news_;
    Drops& drops_;
    Table sockets_;
    size_t open_{};
};

} // namespace net
