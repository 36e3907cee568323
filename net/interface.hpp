// One Ethernet interface: who we are on the link, and the way out onto it.
#pragma once

#include <bit>

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
        last_pair_ = 0;
        const Ipv4Address last{address.address.bits() | ~address.mask()};
        const bool has = !address.address.is_any() && address.is_broadcast(last);
        directed_broadcast_ = has ? last : ipv4_broadcast;
    }

    bool has_address() const { return !address_.address.is_any(); }

    bool is_ours(Ipv4Address other) const { return has_address() && other == address_.address; }

    /// From one who may talk to us, as far as his address says (RFC 1122 3.2.1.3), to us? Packets
    /// come in trains, so the answer for the last pair is kept.
    ///   pair   both addresses as they lie in the header
    bool is_from_host_to_us(uint64_t pair) {
        if (pair == last_pair_ && pair != 0) return true; // 0: none yet
        const Ipv4Address from{std::byteswap(uint32_t(pair))};
        const Ipv4Address to{std::byteswap(uint32_t(pair >> 32))};
        if (!from.is_plain_unicast() || from == address_.address || is_broadcast(from))
            return false;
        if (!is_ours(to)) return false;
        last_pair_ = pair;
        return true;
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
    uint64_t last_pair_{};
    Ipv4Address directed_broadcast_ = ipv4_broadcast; // the limited one where there is none
};

} // namespace net
