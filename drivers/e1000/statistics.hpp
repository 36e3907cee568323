// What the card counts. Its counters clear when read, so they are added up here.
// Source: 317453 rev 4.0, section 13.7.
#pragma once

#include <cstdint>

#include "drivers/e1000/regs.hpp"

namespace e1000 {

struct Statistics {
    uint64_t received{}, sent{}, received_bytes{}, sent_bytes{};
    uint64_t missed{}, no_buffer{};
    uint64_t crc_errors{}, receive_errors{}, length_errors{}, undersize{}, oversize{};
};

namespace detail {

template <class R, class Io>
uint64_t count(hw::Block<Io>& regs) {
    const uint32_t v = regs.template read<R>().raw;
    return v == gone_value ? 0 : v; // gone, or stuck at its maximum: not believed
}

template <class Low, class High, class Io>
uint64_t count_wide(hw::Block<Io>& regs) {
    const uint64_t low = regs.template read<Low>().raw; // low first: high clears both
    const uint64_t v = uint64_t{regs.template read<High>().raw} << 32 | low;
    return v == ~uint64_t{0} ? 0 : v;
}

} // namespace detail

template <class Io>
void add_counts(hw::Block<Io>& regs, Statistics& sums) {
    sums.received += detail::count<GoodReceived>(regs);
    sums.sent += detail::count<GoodSent>(regs);
    sums.received_bytes += detail::count_wide<BytesReceivedLow, BytesReceivedHigh>(regs);
    sums.sent_bytes += detail::count_wide<BytesSentLow, BytesSentHigh>(regs);
    sums.missed += detail::count<Missed>(regs);
    sums.no_buffer += detail::count<NoBuffer>(regs);
    sums.crc_errors += detail::count<CrcErrors>(regs);
    sums.receive_errors += detail::count<ReceiveErrors>(regs);
    sums.length_errors += detail::count<LengthErrors>(regs);
    sums.undersize += detail::count<Undersize>(regs);
    sums.oversize += detail::count<Oversize>(regs);
}

} // namespace e1000
