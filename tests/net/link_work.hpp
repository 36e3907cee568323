// What a link does to a frame that is left to it, by code of its own: sums up, cuts.
#pragma once

#include <cstdint>
#include <vector>

#include "net/link.hpp"

namespace bench {

/// `Octet` is uint8_t or std::byte.
template <class Octet>
class LinkBench {
  public:
    using Frame = std::vector<Octet>;

    /// The frames that go onto the wire for it.
    static std::vector<Frame> finished(const Frame& frame, net::LinkWork work) {
        using Sum = net::LinkWork::Sum;
        if (work.sum == Sum::none) return {frame};
        const size_t field = work.transport_at + (work.sum == Sum::tcp ? 16u : 6u);
        if (work.segment_bytes == 0) {
            Frame whole = frame;
            put(whole, field, inverse(sum(whole, work.transport_at, whole.size())));
            return {whole};
        }
        std::vector<Frame> parts;
        for (size_t from = work.header_bytes; from < frame.size(); from += work.segment_bytes)
            parts.push_back(part(frame, work, from, field));
        return parts;
    }

    static uint32_t get(const Frame& frame, size_t at) {
        return uint32_t(uint8_t(frame.at(at))) << 8 | uint32_t(uint8_t(frame.at(at + 1)));
    }

  private:
    static constexpr size_t ip_at = 14;

    static void put(Frame& frame, size_t at, uint32_t v) {
        frame.at(at) = Octet(uint8_t(v >> 8));
        frame.at(at + 1) = Octet(uint8_t(v));
    }

    static uint32_t folded(uint32_t sum) {
        while (sum > 0xffff)
            sum = (sum & 0xffff) + (sum >> 16);
        return sum;
    }

    static uint32_t sum(const Frame& frame, size_t from, size_t to) {
        uint32_t sum = 0;
        for (size_t i = from; i < to; ++i)
            sum += uint32_t(uint8_t(frame.at(i))) << ((i - from) % 2 == 0 ? 8 : 0);
        return folded(sum);
    }

    static uint32_t inverse(uint32_t sum) { return sum == 0xffff ? 0xffff : ~sum & 0xffff; }

    static Frame part(const Frame& frame, net::LinkWork work, size_t from, size_t field) {
        const size_t to = std::min(from + work.segment_bytes, frame.size());
        Frame out{frame.begin(), frame.begin() + work.header_bytes};
        out.insert(out.end(), frame.begin() + long(from), frame.begin() + long(to));
        const size_t offset = from - work.header_bytes;
        put(out, ip_at + 2, uint32_t(out.size() - ip_at));
        put(out, ip_at + 4, get(frame, ip_at + 4) + uint32_t(offset / work.segment_bytes));
        put(out, ip_at + 10, inverse(sum(out, ip_at, work.transport_at)));
        const size_t number = work.transport_at + 4u;
        const uint32_t sequence = (get(frame, number) << 16) + get(frame, number + 2);
        put(out, number, (sequence + uint32_t(offset)) >> 16);
        put(out, number + 2, (sequence + uint32_t(offset)) & 0xffff);
        constexpr uint8_t push_and_fin = 9;
        Octet& flags = out.at(work.transport_at + 13u);
        if (to != frame.size()) flags = Octet(uint8_t(uint8_t(flags) & ~push_and_fin));
        put(out, field, folded(get(out, field) + uint32_t(out.size()) - work.transport_at));
        put(out, field, inverse(sum(out, work.transport_at, out.size())));
        return out;
    }
};

} // namespace bench
