#include "net/arp.hpp"

#include <algorithm>

#include "net/wire/arp.hpp"

namespace net {

Arp::Arp(
    Arena& arena, const Config& config, Interfaces& interfaces, Drops& drops, Counters& counters
)
    : interfaces_{interfaces}, drops_{drops}, counters_{counters},
      neighbours_{arena.make<Neighbour>(config.neighbours)} {
    const size_t each = config.mtu_bytes;
    MutableBytes memory = arena.bytes(config.held_packets * each);
    for (HeldPacket& held : arena.make<HeldPacket>(config.held_packets)) {
        held.memory = memory.first(each);
        memory = memory.subspan(each);
        spare_.put(held);
    }
}

Arp::Neighbour* Arp::find(Hop to) {
    for (Neighbour& neighbour : neighbours_) {
        if (neighbour.address == to.address && neighbour.link == to.link &&
            neighbour.state != State::free)
            return &neighbour;
    }
    return nullptr;
}

/// A new entry: a free one, else the known or failed one that was not used for longest. Those
/// being asked for stay, so that a flood of new neighbours cannot drive out its own questions; and
/// they are half of all at most, so that a scan of silent ones does not drive out who is there.
Arp::Neighbour* Arp::claim(Hop to, bool to_ask, Instant now) {
    Neighbour* best = nullptr;
    size_t asking = 0;
    for (Neighbour& neighbour : neighbours_) {
        const bool is_free = neighbour.state == State::free;
        if (neighbour.state == State::asking) {
            ++asking;
        } else if (best == nullptr ||
                   (best->state != State::free && (is_free || neighbour.used < best->used))) {
            best = &neighbour;
        }
    }
    if (best == nullptr || (to_ask && asking * 2 >= neighbours_.size())) {
        drops_.count(Drop::arp_cache_full);
        return nullptr;
    }
    *best = Neighbour{.address = to.address, .link = to.link, .used = now};
    return best;
}

bool Arp::sender_usable(const Interface& in, MacAddress mac, Ipv4Address address) {
    if (mac.is_group() || mac.is_zero() || mac == in.mac()) return false;
    return address.is_plain_unicast() && !in.is_broadcast(address);
}

void Arp::input(Bytes packet, Interface& in, Instant now) {
    ++counters_.arp_in;
    const auto parsed = peel<wire::Arp>(packet);
    if (!parsed) return drops_.count(Drop::arp_truncated);
    const wire::Arp& arp = *parsed;
    if (arp.hardware_type != 1 || arp.protocol_type != uint16_t(wire::EtherType::ipv4) ||
        arp.hardware_length != 6 || arp.protocol_length != 4) {
        return drops_.count(Drop::arp_bad_format);
    }
    const bool is_request = arp.operation == wire::Arp::request;
    if (!is_request && arp.operation != wire::Arp::reply) {
        return drops_.count(Drop::arp_bad_operation);
    }
    const Ipv4Address sender{arp.sender};
    const Hop from{sender, in.number()};
    const bool for_us = in.is_ours(Ipv4Address{arp.target});
    if (interfaces_.is_ours(sender)) return drops_.count(Drop::arp_conflict);
    // A probe (RFC 5227 2.1.1) has no sender address: answered, not remembered.
    const bool is_probe = is_request && sender.is_any() && !arp.sender_mac.is_group();
    if (!is_probe) {
        if (!sender_usable(in, arp.sender_mac, sender)) return drops_.count(Drop::arp_bad_sender);
        // RFC 826: refresh what is known; add only who wants to talk to us.
        Neighbour* neighbour = find(from);
        if (neighbour == nullptr && for_us && is_request && in.address().contains(sender)) {
            neighbour = claim(from, false, now);
        }
        if (neighbour != nullptr) learn(*neighbour, arp.sender_mac, now);
    }
    if (!for_us) return drops_.count(Drop::arp_not_for_us);
    if (is_request) send(wire::Arp::reply, arp.sender_mac, arp.sender_mac, from);
}

void Arp::learn(Neighbour& neighbour, MacAddress mac, Instant now) {
    neighbour.mac = mac;
    neighbour.state = State::known;
    neighbour.questions = 0;
    neighbour.confirmed = now;
    neighbour.due = now + forget_after;
    neighbour.poll_at = now + refresh_after;
    wake_at(neighbour.due);
    while (HeldPacket* held = take_held(neighbour)) {
        OutPacket packet;
        packet.append(held->packet());
        const auto sent = interfaces_[neighbour.link].transmit(packet, mac, wire::EtherType::ipv4);
        if (!sent) drops_.count(Drop::link_full);
        spare_.put(*held);
    }
}

Result<> Arp::output(OutPacket& packet, Hop to, uint16_t& hint, Instant now) {
    if (!knows(to, hint)) return output_unknown(packet, to, hint, now);
    Neighbour& neighbour = neighbours_[hint];
    neighbour.used = now;
    if (now > neighbour.poll_at) poll(neighbour, now);
    return interfaces_[to.link].transmit(packet, neighbour.mac, wire::EtherType::ipv4);
}

/// By unicast while it is in use, so that it never falls out (RFC 1122 2.3.2.1 (2)).
void Arp::poll(Neighbour& neighbour, Instant now) {
    if (neighbour.questions == most_questions) return;
    ++neighbour.questions;
    neighbour.poll_at = now + question_interval;
    send(wire::Arp::request, neighbour.mac, MacAddress{}, {neighbour.address, neighbour.link});
}

/// Not where it was the last time: known elsewhere, or not (yet) at all.
Result<> Arp::output_unknown(OutPacket& packet, Hop to, uint16_t& hint, Instant now) {
    Neighbour* neighbour = find(to);
    if (neighbour == nullptr) {
        neighbour = claim(to, true, now);
        if (neighbour == nullptr) return fail(Err::host_unreachable);
        hold(*neighbour, packet);
        ask(*neighbour, now);
        return {};
    }
    neighbour->used = now;
    if (neighbour->state == State::failed) return fail(Err::host_unreachable);
    if (neighbour->state == State::asking) {
        hold(*neighbour, packet);
        return {};
    }
    hint = uint16_t(neighbour - neighbours_.data());
    return output(packet, to, hint, now);
}

void Arp::ask(Neighbour& neighbour, Instant now) {
    neighbour.state = State::asking;
    ++neighbour.questions;
    neighbour.due = now + question_interval;
    wake_at(neighbour.due);
    const Hop to{neighbour.address, neighbour.link};
    send(wire::Arp::request, MacAddress::broadcast(), MacAddress{}, to);
}

void Arp::hold(Neighbour& neighbour, OutPacket& packet) {
    HeldPacket* held = neighbour.held < most_held ? spare_.take() : nullptr;
    if (held == nullptr) {
        // RFC 1122 2.3.2.2: keep the latest.
        drops_.count(Drop::arp_hold_full);
        held = take_held(neighbour);
        if (held == nullptr) return;
    }
    packet.finish_sum();
    held->size = 0;
    for (const Bytes piece : packet.pieces()) {
        std::ranges::copy(piece, held->memory.subspan(held->size).begin());
        held->size += piece.size();
    }
    held->next = nullptr;
    HeldPacket** last = &neighbour.first;
    while (*last != nullptr)
        last = &(*last)->next;
    *last = held;
    ++neighbour.held;
}

HeldPacket* Arp::take_held(Neighbour& neighbour) {
    HeldPacket* held = neighbour.first;
    if (held == nullptr) return nullptr;
    neighbour.first = held->next;
    --neighbour.held;
    return held;
}

void Arp::drop_held(Neighbour& neighbour) {
    while (HeldPacket* held = take_held(neighbour)) {
        drops_.count(Drop::arp_unresolved);
        spare_.put(*held);
    }
}

void Arp::clear(LinkNumber link) {
    for (Neighbour& neighbour : neighbours_) {
        if (neighbour.link != link) continue;
        drop_held(neighbour);
        neighbour.state = State::free;
    }
}

void Arp::send(uint16_t operation, MacAddress to_frame, MacAddress to_mac, Hop to) {
    Interface& out = interfaces_[to.link];
    OutPacket packet;
    packet.prepend(wire::Arp{
        .hardware_type = 1,
        .protocol_type = uint16_t(wire::EtherType::ipv4),
        .hardware_length = 6,
        .protocol_length = 4,
        .operation = operation,
        .sender_mac = out.mac(),
        .sender = out.address().address.bits(),
        .target_mac = to_mac,
        .target = to.address.bits(),
    });
    ++counters_.arp_out;
    if (!out.transmit(packet, to_frame, wire::EtherType::arp)) drops_.count(Drop::link_full);
}

size_t Arp::list(size_t first, std::span<NeighbourInfo> room, Instant now) const {
    size_t seen = 0, written = 0;
    for (const Neighbour& neighbour : neighbours_) {
        if (neighbour.state == State::free || seen++ < first) continue;
        if (written == room.size()) break;
        const bool known = neighbour.state == State::known;
        room[written++] = {
            .address = neighbour.address,
            .mac = neighbour.mac,
            .link = neighbour.link,
            .resolved = known,
            .age = known ? now - neighbour.confirmed : Duration{},
        };
    }
    return written;
}

} // namespace net
