// An Ethernet interface: who we are on the link, and the way out onto it; and all of a stack.
#pragma once

#include <algorithm>
#include <array>
#include <bit>

#include "lib/base/result.hpp"
#include "net/address.hpp"
#include "net/drops.hpp"
#include "net/link.hpp"
#include "net/packet.hpp"
#include "net/stack.hpp"
#include "net/wire/ethernet.hpp"

namespace net {

class Interface {
  public:
    Interface() = default;

    Interface(LinkNumber number, MacAddress mac, uint16_t mtu_bytes, Link& link, Counters& counters)
        : link_{&link}, counters_{&counters}, mac_{mac}, number_{number}, mtu_bytes_{mtu_bytes},
          abilities_{link.abilities()} {}

    LinkNumber number() const { return number_; }

    MacAddress mac() const { return mac_; }

    uint16_t mtu_bytes() const { return mtu_bytes_; }

    LinkAbilities abilities() const { return abilities_; }

    Ipv4Prefix address() const { return address_; }

    void set_address(Ipv4Prefix address) {
        address_ = address;
        const Ipv4Address last{address.address.bits() | ~address.mask()};
        const bool has = !address.address.is_any() && address.is_broadcast(last);
        directed_broadcast_ = has ? last : ipv4_broadcast;
    }

    bool has_address() const { return !address_.address.is_any(); }

    bool is_ours(Ipv4Address other) const { return has_address() && other == address_.address; }

    /// Packets come in trains: the last two who were found to be a host and us, as both addresses
    /// lie in the header; 0: none yet.
    bool is_last_pair(uint64_t pair) const { return pair == last_pair_ && pair != 0; }

    void keep_pair(uint64_t pair) { last_pair_ = pair; }

    bool is_broadcast(Ipv4Address other) const {
        return other.is_limited_broadcast() || other == directed_broadcast_;
    }

    /// Puts the Ethernet header in front and hands the frame over.   errors   no_space
    [[gnu::always_inline]] Result<>
    transmit(OutPacket& packet, MacAddress to, wire::EtherType type) {
        packet.prepend(wire::Ethernet{to, mac_, uint16_t(type)});
        const auto sent = link_->transmit(packet.pieces(), packet.work());
        if (!sent && sent.error() == Err::no_space) return sent;
        counters_->frames_out += packet.segment_bytes == 0 ? 1 : packet.segments();
        return {};
    }

    /// A whole frame as it is.   errors   those of the link
    Result<> transmit_frame(Bytes frame) {
        TRY_VOID(link_->transmit(std::span{&frame, 1}, {}));
        ++counters_->frames_out;
        return {};
    }

  private:
    Link* link_{};
    Counters* counters_{};
    MacAddress mac_;
    LinkNumber number_;
    uint16_t mtu_bytes_{};
    LinkAbilities abilities_;
    Ipv4Prefix address_;
    uint64_t last_pair_{};
    Ipv4Address directed_broadcast_ = ipv4_broadcast; // the limited one where there is none
};

/// All of them, in the order in which they came. An address of ours is ours on whichever it is
/// asked for (RFC 1812 5.2.3).
class Interfaces {
  public:
    static constexpr size_t most = Stack::links_max;

    Interfaces(MacAddress mac, uint16_t mtu_bytes, Link& link, Counters& counters)
        : counters_{counters} {
        slots_[0] = {first_link, mac, mtu_bytes, link, counters};
    }

    /// errors   no_slots
    Result<LinkNumber> add(MacAddress mac, uint16_t mtu_bytes, Link& link) {
        if (count_ == most) return fail(Err::no_slots);
        const LinkNumber number{{uint8_t(count_)}};
        slots_[count_++] = {number, mac, mtu_bytes, link, counters_};
        return number;
    }

    size_t count() const { return count_; }

    Interface& first() { return slots_[0]; }

    /// Numbers come from add(): they are right.
    Interface& operator[](LinkNumber number) { return slots_.data()[number.raw]; }

    const Interface& operator[](LinkNumber number) const { return slots_.data()[number.raw]; }

    bool is_ours(Ipv4Address address) const {
        return any([&](const Interface& one) { return one.is_ours(address); });
    }

    bool is_broadcast(Ipv4Address address) const {
        return any([&](const Interface& one) { return one.is_broadcast(address); });
    }

    /// The first that `holds(interface)`; null: none.
    template <class Holds>
    const Interface* find(Holds&& holds) const {
        for (size_t i = 0; i < count_; ++i)
            if (holds(slots_[i])) return &slots_[i];
        return nullptr;
    }

    /// From one who may talk to us, as far as his address says (RFC 1122 3.2.1.3), to us?
    ///   pair   both addresses as they lie in the header
    [[gnu::always_inline]] bool is_from_host_to_us(Interface& in, uint64_t pair) const {
        return in.is_last_pair(pair) || judge_pair(in, pair);
    }

    void set_address(LinkNumber number, Ipv4Prefix address) {
        (*this)[number].set_address(address);
        for (size_t i = 0; i < count_; ++i)
            slots_[i].keep_pair(0);
    }

  private:
    [[gnu::noinline]] bool judge_pair(Interface& in, uint64_t pair) const {
        const Ipv4Address from{std::byteswap(uint32_t(pair))};
        const Ipv4Address to{std::byteswap(uint32_t(pair >> 32))};
        if (!from.is_plain_unicast() || is_ours(from) || is_broadcast(from)) return false;
        if (!is_ours(to)) return false;
        in.keep_pair(pair);
        return true;
    }

    template <class Holds>
    bool any(Holds&& holds) const {
        return find(holds) != nullptr;
    }

    Counters& counters_;
    std::array<Interface, most> slots_;
    size_t count_ = 1;
};

} // namespace net
