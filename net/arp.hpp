// ARP (RFC 826, RFC 1122 2.3.2): a bounded cache of neighbours, asking at a limited rate, and a
// place for packets that wait for an answer.
#pragma once

#include <concepts>
#include <optional>
#include <span>
#include <utility>

#include "lib/base/time.hpp"
#include "net/arena.hpp"
#include "net/config.hpp"
#include "net/interface.hpp"
#include "net/route.hpp"
#include "net/stack.hpp"

namespace net {

/// An IPv4 packet waiting for its neighbour's address.
struct HeldPacket {
    HeldPacket* next_free{};
    HeldPacket* next{}; // to the same neighbour, younger
    size_t size{};
    MutableBytes memory;

    Bytes packet() const { return memory.first(size); }
};

class Arp {
  public:
    Arp(Arena& arena, const Config& config, Interfaces& interfaces, Drops& drops, Counters& counters
    );

    /// An ARP packet, its Ethernet header taken off.
    void input(Bytes packet, Interface& in, Instant now);

    /// Is the neighbour known, and at `hint`? Then output() goes to the link at once.
    bool knows(Hop to, uint16_t hint) const {
        const Neighbour& neighbour = neighbours_[hint];
        return neighbour.address == to.address && neighbour.link == to.link &&
               neighbour.state == State::known;
    }

    /// Sends an IPv4 packet to a neighbour, or holds it until the neighbour answers.
    ///   errors   no_space (link full); host_unreachable (it did not answer a moment ago)
    ///   hint     where the neighbour was found last
    Result<> output(OutPacket& packet, Hop to, uint16_t& hint, Instant now);

    std::optional<Instant> next_deadline() const { return deadline_; }

    /// Repeats questions, gives up, forgets. Calls unreachable(packet) for each packet given up.
    template <std::invocable<Bytes> F>
    void advance(Instant now, F&& unreachable) {
        if (!deadline_ || now < *deadline_) return;
        deadline_.reset();
        for (Neighbour& neighbour : neighbours_) {
            if (neighbour.state == State::free) continue;
            if (neighbour.due <= now) expire(neighbour, now, unreachable);
            if (neighbour.state != State::free) wake_at(neighbour.due);
        }
    }

    /// Forgets all on that link: our address there has changed.
    void clear(LinkNumber link);
    size_t list(size_t first, std::span<NeighbourInfo> room, Instant now) const;

  private:
    enum class State : uint8_t { free, asking, known, failed };

    struct Neighbour {
        Ipv4Address address{};
        MacAddress mac{};
        State state{State::free};
        uint8_t questions{}; // asked without an answer
        uint8_t held{};
        LinkNumber link{};
        HeldPacket* first{}; // oldest first
        Instant confirmed{}, used{}, due{};
        Instant poll_at{}; // it should be asked again while it is in use
    };

    Neighbour* find(Hop to);
    Neighbour* claim(Hop to, bool to_ask, Instant now);
    Result<> output_unknown(OutPacket& packet, Hop to, uint16_t& hint, Instant now);
    void poll(Neighbour& neighbour, Instant now);
    void learn(Neighbour& neighbour, MacAddress mac, Instant now);
    void ask(Neighbour& neighbour, Instant now);
    void hold(Neighbour& neighbour, OutPacket& packet);
    HeldPacket* take_held(Neighbour& neighbour);
    void drop_held(Neighbour& neighbour);
    void send(uint16_t operation, MacAddress to_frame, MacAddress to_mac, Hop to);
    static bool sender_usable(const Interface& in, MacAddress mac, Ipv4Address address);

    template <class F>
    void expire(Neighbour& neighbour, Instant now, F& unreachable) {
        if (neighbour.state == State::asking && neighbour.questions < most_questions) {
            return ask(neighbour, now);
        }
        if (neighbour.state != State::asking) {
            neighbour.state = State::free;
            return;
        }
        neighbour.state = State::failed;
        neighbour.due = now + failure_memory;
        // What unreachable() sends may be given this very place: it is not touched after.
        HeldPacket* held = std::exchange(neighbour.first, nullptr);
        neighbour.held = 0;
        while (held != nullptr) {
            HeldPacket* const next = held->next;
            drops_.count(Drop::arp_unresolved);
            unreachable(held->packet());
            spare_.put(*held);
            held = next;
        }
    }

    void wake_at(Instant due) {
        if (!deadline_ || due < *deadline_) deadline_ = due;
    }

    static constexpr uint8_t most_questions = 4;
    static constexpr uint8_t most_held = 4;                   // a neighbour
    static constexpr Duration question_interval = seconds(1); // RFC 1122 2.3.2.1: 1 a second
    static constexpr Duration failure_memory = seconds(3);
    static constexpr Duration refresh_after = seconds(30); // ask again, by unicast
    static constexpr Duration forget_after = seconds(60);  // RFC 1122 2.3.2.1

    Interfaces& interfaces_;
    Drops& drops_;
    Counters& counters_;
    std::span<Neighbour> neighbours_;
    FreeList<HeldPacket> spare_;
    std::optional<Instant> deadline_;
};

} // namespace net
