// The options of a segment on its way out, laid down from the front, in the order in which others
// send them, so that every four bytes begin something.
#pragma once

#include <array>
#include <optional>

#include "lib/base/bytes.hpp"
#include "lib/base/invariant.hpp"
#include "net/wire/tcp.hpp"

namespace net::tcp {

using OptionBytes = std::array<std::byte, 40>;

struct Timestamps {
    uint32_t value{}, echo{};
};

class OptionWriter {
  public:
    explicit OptionWriter(MutableBytes into) : into_{into} {}

    size_t size() const { return size_; }

    /// In front, and as laid out in RFC 7323 appendix A.
    void timestamps(const Timestamps& timestamps) {
        const wire::TcpTimestamps usual{
            wire::TcpTimestamps::usual_head, timestamps.value, timestamps.echo
        };
        INVARIANT(size_ + sizeof usual <= into_.size(), "there is room for all options");
        __builtin_memcpy(into_.data() + size_, &usual, sizeof usual);
        size_ += sizeof usual;
    }

    /// What a SYN offers, or agrees to.
    void
    syn(uint16_t mss_bytes,
        bool blocks,
        const std::optional<Timestamps>& timestamps,
        std::optional<uint8_t> window_scale) {
        kind(wire::TcpOption::maximum_segment_size, 4);
        octet(uint8_t(mss_bytes >> 8));
        octet(uint8_t(mss_bytes));
        if (blocks) kind(wire::TcpOption::sack_permitted, 2);
        if (blocks != timestamps.has_value()) padding();
        if (timestamps) body(*timestamps);
        if (!window_scale) return;
        no_operation();
        kind(wire::TcpOption::window_scale, 3);
        octet(*window_scale);
    }

    /// Before `count` blocks of two numbers each.
    void blocks_follow(size_t count) {
        padding();
        kind(wire::TcpOption::sack, 2 + sizeof(uint64_t) * count);
    }

    void number(uint32_t value) {
        const Be<uint32_t> wire{value};
        __builtin_memcpy(into_.data() + size_, &wire, sizeof wire);
        size_ += sizeof wire;
    }

  private:
    void octet(uint8_t value) { into_[size_++] = std::byte{value}; }

    void no_operation() { octet(std::to_underlying(wire::TcpOption::no_operation)); }

    void padding() {
        no_operation();
        no_operation();
    }

    void kind(wire::TcpOption kind, size_t length) {
        octet(std::to_underlying(kind));
        octet(uint8_t(length));
    }

    void body(const Timestamps& timestamps) {
        kind(wire::TcpOption::timestamps, 10);
        number(timestamps.value);
        number(timestamps.echo);
    }

    MutableBytes into_;
    size_t size_{};
};

} // namespace net::tcp
