// Puts fragments together (RFC 791 3.2, RFC 1122 3.3.2). Bounded in total and a peer; when there
// is no room the oldest goes, so that service is back at once after a flood of pieces.
#pragma once

#include <array>
#include <concepts>
#include <optional>
#include <span>

#include "lib/base/time.hpp"
#include "net/arena.hpp"
#include "net/drops.hpp"
#include "net/wire/ipv4.hpp"

namespace net {

class Reassembly {
  public:
    Reassembly(Arena& arena, size_t datagrams, Drops& drops, Counters& counters);

    /// Takes a fragment, header with options and payload. Returns the whole datagram when this
    /// was the last missing piece: the first fragment's header followed by all of the payload;
    /// valid until the next call.
    struct Whole {
        Bytes header, payload;
        Bytes both;
    };

    std::optional<Whole> add(const wire::Ipv4& ip, Bytes header, Bytes payload, Instant now);

    std::optional<Instant> next_deadline() const;

    /// Gives up what is late. Calls late(bytes) with the first fragment's header and the payload
    /// that follows it without a gap, if that fragment has come (RFC 1122 3.3.2).
    template <std::invocable<Bytes> F>
    void advance(Instant now, F&& late) {
        for (Partial& partial : partials_) {
            if (!partial.used || partial.started + time_out > now) continue;
            give_up(partial, Drop::fragment_timeout);
            if (partial.header_bytes != 0) late(beginning_of(partial));
        }
    }

  private:
    static constexpr size_t most_header_bytes = 60;
    static constexpr size_t most_payload_bytes = 65535 - 20;
    static constexpr size_t blocks = (most_payload_bytes + 7) / 8;
    static constexpr Duration time_out = seconds(30);

    struct Partial {
        bool used{};
        uint32_t source{}, destination{};
        uint16_t identification{};
        uint8_t protocol{};
        Instant started;
        size_t header_bytes{};        // 0: the first fragment has not come
        std::optional<size_t> length; // of the payload, once the last fragment has come
        size_t end{};                 // of the furthest byte so far
        size_t filled_blocks{};
        std::array<uint64_t, (blocks + 63) / 64> filled;
        MutableBytes memory; // room for the header, then the payload
    };

    enum class Overlap : uint8_t { none, all, some };

    Partial& claim(const wire::Ipv4& ip, Instant now);
    static Overlap overlap(const Partial& partial, size_t from, size_t to);
    static void fill(Partial& partial, size_t from, size_t to);
    void place(Partial& partial, size_t offset, Bytes header, Bytes payload);
    void give_up(Partial& partial, Drop reason);
    static Bytes beginning_of(const Partial& partial);

    std::span<Partial> partials_;
    size_t used_{}; // of them
    Drops& drops_;
    Counters& counters_;
};

} // namespace net
