// Every drop has a reason and a counter; reading the table is how one sees a live stack.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace net {

enum class Drop : uint8_t {
#define DROP(name, text) name,
#include "net/drops.def"
#undef DROP
};

constexpr size_t drop_reasons = 0
#define DROP(name, text) +1
#include "net/drops.def"
#undef DROP
    ;

struct DropText {
    std::string_view name, text;
};

constexpr DropText text_of(Drop reason) {
    constexpr DropText texts[drop_reasons] = {
#define DROP(name, text) {#name, text},
#include "net/drops.def"
#undef DROP
    };
    return texts[std::to_underlying(reason)];
}

class Drops {
  public:
    void count(Drop reason) { ++counts_[std::to_underlying(reason)]; }

    uint64_t operator[](Drop reason) const { return counts_[std::to_underlying(reason)]; }

    /// Calls visit(name, text, count) for each reason, zero counts included.
    template <class Visit>
    void each(Visit&& visit) const {
        for (size_t i = 0; i < drop_reasons; ++i) {
            const DropText text = text_of(Drop(i));
            visit(text.name, text.text, counts_[i]);
        }
    }

  private:
    std::array<uint64_t, drop_reasons> counts_{};
};

/// What went well, by protocol.
struct Counters {
    uint64_t frames_in{}, frames_out{};
    uint64_t arp_in{}, ip_in{}, icmp_in{}, udp_in{}, tcp_in{};
    uint64_t arp_out{}, ip_out{}, icmp_out{}, udp_out{}, tcp_out{};
    uint64_t forwarded{};
    uint64_t fragments_in{}, fragments_out{}, reassembled{};
    uint64_t tcp_opened{}, tcp_accepted{}, tcp_resets_in{}, tcp_resets_out{};
    uint64_t tcp_retransmitted{}, tcp_timeouts{}, tcp_challenge_acks{};
    uint64_t tcp_cookies_sent{}, tcp_cookies_accepted{};
    // Now: control blocks, those of TIME-WAIT that nobody has a handle to apart, and memory.
    uint64_t tcp_blocks_held{}, tcp_time_wait{}, tcp_bytes_held{};
};

} // namespace net
