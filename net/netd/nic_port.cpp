#include "net/netd/nic_port.hpp"

#include <algorithm>
#include <atomic>

namespace netd {

NicPort::NicPort(Host& host, const netq::Area& area, DriverBell& bell, net::LinkNumber link)
    : host_{host}, area_{area}, side_{area.stack()},
      pool_{std::min<uint32_t>(area.layout().buffers, buffers_max)}, bell_{bell}, link_{link} {}

void NicPort::provide_buffers() {
    // The card has 256 descriptors; what is left is for sending.
    const size_t share = pool_.available() / 2;
    for (size_t i = 0; i < share; ++i) {
        const auto buffer = pool_.allocate();
        INVARIANT(buffer.has_value(), "half of what is available");
        INVARIANT(provide(*buffer).has_value(), "a ring has a slot for each");
    }
}

/// A buffer in our hands goes to the driver, to receive into.
Result<> NicPort::provide(uint32_t buffer) {
    TRY_VOID(pool_.lend(buffer, netq::Loan::receive));
    return side_.rx_provide.push({buffer, 0, 0, 0});
}

Result<> NicPort::transmit(std::span<const Bytes> pieces) {
    size_t total = 0;
    for (Bytes piece : pieces)
        total += piece.size();
    if (total > netq::buffer_bytes) return fail(Err::message_too_long);
    if (pool_.available() == 0) reclaim_some();
    const auto buffer = pool_.allocate();
    if (!buffer) {
        ++counters_.starved;
        starved_ = true;
        return fail(Err::no_space);
    }
    std::byte* out = area_.buffer(*buffer).data();
    for (Bytes piece : pieces)
        out = std::ranges::copy(piece, out).out;
    const bool lent = pool_.lend(*buffer, netq::Loan::transmit).has_value();
    INVARIANT(lent, "it was allocated just now");
    if (side_.tx_provide.push({*buffer, 0, static_cast<uint16_t>(total), 0})) return {};
    ++counters_.foreign; // the ring is broken: the driver's doing
    TRY_VOID(pool_.take_back(*buffer, netq::Loan::transmit));
    return pool_.free(*buffer);
}

bool NicPort::pump() {
    const bool sent = reclaim_some();
    if (sent && starved_) {
        starved_ = false;
        host_.stack().link_ready(host_.now());
    }
    const bool received = receive_some();
    if (received || sent) host_.touched();
    return received || sent;
}

bool NicPort::receive_some() {
    unsigned n = 0;
    for (; n < batch; ++n) {
        const auto got = side_.rx_return.take();
        if (got && !*got) break;
        if (side_.rx_return.broken()) break;
        if (!got || !pool_.take_back((*got)->buffer, netq::Loan::receive)) {
            ++counters_.foreign; // no buffer of ours, or one that the driver does not have
            continue;
        }
        const netq::Descriptor d = **got;
        host_.stack().receive(area_.data(d), host_.now(), link_);
        if (!provide(d.buffer)) ++counters_.foreign;
    }
    return n > 0;
}

bool NicPort::reclaim_some() {
    bool any = false;
    for (;;) {
        const auto got = side_.tx_return.take();
        if ((got && !*got) || side_.tx_return.broken()) return any;
        any = true;
        if (!got || !pool_.take_back((*got)->buffer, netq::Loan::transmit)) {
            ++counters_.foreign;
            continue;
        }
        INVARIANT(pool_.free((*got)->buffer).has_value(), "it is in our hands");
        if (((*got)->flags & static_cast<uint16_t>(netq::Flag::not_sent)) != 0)
            ++counters_.not_sent;
    }
}

bool NicPort::ready() {
    return side_.rx_return.has_any() || (starved_ && side_.tx_return.has_any());
}

void NicPort::flush() {
    side_.rx_return.acknowledge();
    side_.tx_return.acknowledge();
    const bool provided = side_.rx_provide.take_published();
    const bool to_send = side_.tx_provide.take_published();
    if (to_send || (provided && may_lack_buffers())) bell_.published();
}

/// A driver that found none left sleeps until there are some, and has said that it took all. Since
/// then at most a batch was provided.
bool NicPort::may_lack_buffers() {
    // seq_cst: it says what it took, then looks for more; we provide, then look what it took
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const auto untaken = side_.rx_provide.untaken();
    return !untaken || *untaken <= batch;
}

} // namespace netd
