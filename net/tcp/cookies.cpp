#include "net/tcp/cookies.hpp"

#include <iterator>

namespace net::tcp {
namespace {

constexpr unsigned hash_bits = 24, mss_bits = 3;
constexpr unsigned time_shift = 36; // a step of about 69 s
constexpr uint32_t most_age = 1;    // in steps
constexpr Duration life{int64_t{most_age + 1} << time_shift};
constexpr uint16_t sizes[1 << mss_bits] = {64, 256, 536, 1024, 1220, 1400, 1440, 1460};

constexpr unsigned scale_bits = 4, stamp_bits = 6;
constexpr uint32_t no_scale = 15, blocks_bit = 1u << scale_bits;

uint32_t step_of(Instant now) {
    return uint32_t(now.ns >> time_shift) & 0x1f;
}

/// The largest that is not more than what the peer takes.
uint32_t size_index(uint16_t mss_bytes) {
    uint32_t index = 0;
    while (index + 1 < std::size(sizes) && sizes[index + 1] <= mss_bytes)
        ++index;
    return index;
}

} // namespace

uint32_t SynCookies::hash(const Segment& segment, SeqNumber first, uint32_t head) const {
    const uint64_t words[] = {
        uint64_t{segment.to.address.bits()} << 32 | segment.from.address.bits(),
        uint64_t{segment.to.port.number()} << 16 | segment.from.port.number(),
        uint64_t{head} << 32 | first.number(),
    };
    return uint32_t(siphash(key_, words)) & ((1u << hash_bits) - 1);
}

SeqNumber SynCookies::make(const Segment& syn, Instant now) {
    last_made_ = now;
    const uint16_t mss = syn.options.mss_bytes.value_or(Options::default_mss_bytes);
    const uint32_t head = step_of(now) << mss_bits | size_index(mss);
    return SeqNumber{head << hash_bits | hash(syn, syn.sequence, head)};
}

std::optional<Options> SynCookies::check(const Segment& segment, Instant now) const {
    if (!last_made_ || now - *last_made_ > life) return std::nullopt;
    const uint32_t cookie = (segment.acknowledgement - 1).number();
    const uint32_t head = cookie >> hash_bits;
    if (((step_of(now) - (head >> mss_bits)) & 0x1f) > most_age) return std::nullopt;
    if (SeqNumber{cookie} ==
        SeqNumber{head << hash_bits | hash(segment, segment.sequence - 1, head)}) {
        Options options = segment.options;
        options.mss_bytes = sizes[head & ((1u << mss_bits) - 1)];
        if (!options.has_timestamps) return options;
        const uint32_t scale = options.timestamp_echo & no_scale;
        if (scale != no_scale) options.window_scale = uint8_t(scale);
        options.sack_permitted = (options.timestamp_echo & blocks_bit) != 0;
        return options;
    }
    return std::nullopt;
}

uint32_t SynCookies::stamp(uint32_t clock, const Options& options) {
    constexpr uint32_t mask = (1u << stamp_bits) - 1;
    const uint32_t facts = (options.window_scale ? *options.window_scale : no_scale) |
                           (options.sack_permitted ? blocks_bit : 0);
    const uint32_t stamp = (clock & ~mask) | facts;
    return int32_t(clock - stamp) < 0 ? stamp - (mask + 1) : stamp;
}

} // namespace net::tcp
