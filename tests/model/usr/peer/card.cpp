#include "tests/model/usr/peer/card.hpp"

#include "lib/os/local.hpp"

namespace peer {
namespace {

e1000::DescriptorRing ring_in(const os::Memory& memory) {
    return e1000::DescriptorRing{memory.view.as<e1000::Descriptor>(), e1000::ring_slots};
}

void sleep_for(Duration time) {
    const Instant until = os::now() + time;
    while (os::now() < until)
        (void)os::self().wait(until, 0, os::place_of(os::receive_slot));
}

} // namespace

Result<net::MacAddress> Card::open(os::Domain& self) {
    registers_.emplace(TRY(os::Registers::open(TRY(self.find_given("nic.registers")))));
    device_.emplace(registers_->mmio());
    const auto mac = TRY(device_->reset(sleep_for));
    rx_memory_.emplace(TRY(os::Memory::make(e1000::ring_bytes)));
    tx_memory_.emplace(TRY(os::Memory::make(e1000::ring_bytes)));
    packets_.emplace(TRY(os::Memory::make(2 * buffers * e1000::buffer_bytes)));
    packets_at_ = TRY(packets_->frame.base());
    rx_.emplace(ring_in(*rx_memory_), TRY(rx_memory_->frame.base()));
    tx_.emplace(ring_in(*tx_memory_), TRY(tx_memory_->frame.base()));
    for (uint32_t i = 0; i < buffers; ++i)
        TRY_VOID(provide(i));
    return net::MacAddress{mac};
}

MutableBytes Card::buffer(uint32_t number) const {
    return packets_->span().subspan(number * e1000::buffer_bytes, e1000::buffer_bytes);
}

PhysAddr Card::address(uint32_t number) const {
    return packets_at_ + number * e1000::buffer_bytes;
}

Result<> Card::provide(uint32_t number) {
    return rx_->provide(address(number), number);
}

unsigned Card::receive(net::Stack& stack, Instant now) {
    unsigned frames = 0;
    for (; frames < buffers; ++frames) {
        const auto got = rx_->take();
        if (!got) break;
        if (got->bytes != 0)
            stack.receive(
                buffer(got->tag).first(got->bytes), now, net::first_link, got->sums_checked
            );
        INVARIANT(provide(got->tag).has_value(), "its slot was freed just now");
    }
    if (frames != 0) device_->publish(*rx_);
    return frames;
}

Result<> Card::transmit(std::span<const Bytes> pieces, net::LinkWork) {
    while (tx_->reclaim()) {
    }
    if (tx_->room() < buffers) return fail(Err::no_space);
    const uint32_t number = buffers + next_;
    const MutableBytes room = buffer(number);
    size_t bytes = 0;
    for (const Bytes piece : pieces) {
        if (piece.size() > room.size() - bytes) return fail(Err::message_too_long);
        __builtin_memcpy(room.data() + bytes, piece.data(), piece.size());
        bytes += piece.size();
    }
    TRY_VOID(tx_->send(address(number), static_cast<uint16_t>(bytes), number));
    next_ = (next_ + 1) % buffers;
    device_->publish(*tx_);
    return {};
}

} // namespace peer
