#include "net/netd/nic_port.hpp"

#include <algorithm>
#include <atomic>

#include "lib/netq/request.hpp"

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

namespace {

static_assert(net::LinkWork::least_segment == netq::Request::segment_bytes_least);

netq::Descriptor described(net::LinkWork work) {
    using Sum = net::LinkWork::Sum;
    if (work.sum == Sum::none) return {};
    const auto flag = work.sum == Sum::tcp ? netq::Flag::sum_tcp : netq::Flag::sum_udp;
    netq::Descriptor d{
        .flags = std::to_underlying(flag),
        .transport_at = work.transport_at,
        .header_bytes = work.header_bytes,
        .segment_bytes = work.segment_bytes,
    };
    if (work.segment_bytes != 0) d.flags = d.flags | netq::Flag::segment;
    return d;
}

/// What is left of the pieces of a frame.
class Rest {
  public:
    explicit Rest(std::span<const Bytes> pieces) : pieces_{pieces} {}

    /// As much as fits.
    void copy_to(MutableBytes room) {
        while (!pieces_.empty() && !room.empty()) {
            const Bytes all = pieces_.front().subspan(done_);
            const Bytes part = all.first(std::min(all.size(), room.size()));
            __builtin_memcpy(room.data(), part.data(), part.size());
            room = room.subspan(part.size());
            done_ += part.size();
            if (part.size() != all.size()) return;
            pieces_ = pieces_.subspan(1);
            done_ = 0;
        }
    }

  private:
    std::span<const Bytes> pieces_;
    size_t done_{}; // of the first one
};

} // namespace

/// A long one takes several buffers, all of which there are before the first one is filled.
Result<> NicPort::transmit(std::span<const Bytes> pieces, net::LinkWork work) {
    size_t left = 0;
    for (Bytes piece : pieces)
        left += piece.size();
    if (left > netq::request_bytes_max) return fail(Err::message_too_long);
    const size_t wanted = (left + netq::buffer_bytes - 1) / netq::buffer_bytes;
    if (pool_.available() < wanted) reclaim_some();
    if (pool_.available() < wanted) {
        ++counters_.starved;
        starved_ = true;
        return fail(Err::no_space);
    }
    Rest rest{pieces};
    netq::Descriptor next = described(work);
    for (; left != 0; left -= next.bytes, next = {}) {
        next.buffer = *pool_.allocate();
        next.bytes = static_cast<uint16_t>(std::min<size_t>(left, netq::buffer_bytes));
        if (next.bytes != left) next.flags = next.flags | netq::Flag::more;
        rest.copy_to(area_.buffer(next.buffer).first(next.bytes));
        push(next);
    }
    return {};
}

/// A buffer in our hands goes to the driver, to be sent.
void NicPort::push(netq::Descriptor d) {
    const bool lent = pool_.lend(d.buffer, netq::Loan::transmit).has_value();
    INVARIANT(lent, "it was allocated just now");
    if (side_.tx_provide.push(d)) return;
    ++counters_.foreign; // the ring is broken: the driver's doing
    const bool back = pool_.take_back(d.buffer, netq::Loan::transmit).has_value();
    INVARIANT(back && pool_.free(d.buffer), "it was lent just now");
}

bool NicPort::pump() {
    if (!side_.rx_return.has_any() && !side_.tx_return.has_any()) return false;
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
        host_.stack().receive(area_.data(d), host_.now(), link_, d.has(netq::Flag::sums_checked));
        if (!provide(d.buffer)) ++counters_.foreign;
    }
    return n > 0;
}

/// No more than a batch, however fast a driver gives back.
bool NicPort::reclaim_some() {
    unsigned n = 0;
    for (; n < batch; ++n) {
        const auto got = side_.tx_return.take();
        if ((got && !*got) || side_.tx_return.broken()) break;
        if (!got || !pool_.take_back((*got)->buffer, netq::Loan::transmit)) {
            ++counters_.foreign;
            continue;
        }
        INVARIANT(pool_.free((*got)->buffer).has_value(), "it is in our hands");
        if ((*got)->has(netq::Flag::not_sent)) ++counters_.not_sent;
    }
    return n > 0;
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
