// One Ethernet interface: who we are on the link, and the way out onto it.
#pragma once

#include "lib/base/result.hpp"
#include "net/address.hpp"
#include "net/drops.hpp"
#include "net/link.hpp"
#include "net/packet.hpp"
#include "net/wire/ethernet.hpp"

namespace net {

class Interface {
  public:
    Interface(MacAddress mac, uint16_t mtu_bytes, Link& link, Counters& counters)
        : link_{link}, counters_{counters}, mac_{mac}, mtu_bytes_{mtu_bytes} {}

    MacAddress mac() const { return mac_; }

    uint16_t mtu_bytes() const { return mtu_bytes_; }

    Ipv4Prefix address() const { return address_; }

    void set_address(Ipv4Prefix address) {
        address_ = address;
        const Ipv4Address last{address.address.bits() | ~address.mask()};
        const bool has = !address.address.is_any() && address.is_broadcast(last);
        directed_broadcast_ = has ? last : ipv4_broadcast;
    }

    bool has_address() const { return !address_.address.is_any(); }

    bool is_ours(Ipv4Address other) const { return has_address() && other == address_.address; }

    /// One that may talk to us, as far as its address says (RFC 1122 3.2.1.3).
    bool is_other_host(Ipv4Address other) const {
        return other.is_plain_unicast() && !(other == address_.address) &&
               !(other == directed_broadcast_);
    }

    bool is_broadcast(Ipv4Address other) const {
        return other.is_limited_broadcast() || other == directed_broadcast_;
    }

    /// Puts the Ethernet header in front and hands the frame over.   errors   no_space
    Result<> transmit(OutPacket& packet, MacAddress to, wire::EtherType type) {
        packet.prepend(wire::Ethernet{to, mac_, uint16_t(type)});
        const auto sent = link_.transmit(packet.pieces());
        if (!sent && sent.error() == Err::no_space) return sent;
        ++counters_.frames_out;
        return {};
    }

  private:
    Link& link_;
    Counters& counters_;
    MacAddress mac_;
    uint16_t mtu_bytes_;
    Ipv4Prefix address_;
    Ipv4Address directed_broadcast_ = ipv4_broadcast; // the limited one where there is none
};

} // namespace net
