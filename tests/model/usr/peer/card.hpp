// A network card that is looked at and never interrupts: each frame is copied into a buffer of its
// own and the card told at once, which with QEMU's cards is delivery.
#pragma once

#include <optional>

#include "drivers/e1000/device.hpp"
#include "lib/os/device.hpp"
#include "lib/os/domain.hpp"
#include "net/link.hpp"
#include "net/stack.hpp"

namespace peer {

class Card final : public net::Link {
  public:
    /// With the registers that this domain was given. Errors: not_found, device_fault, quota.
    Result<net::MacAddress> open(os::Domain& self);

    void start() { device_->start(*rx_, *tx_); }

    /// What has come, at most a ring full; how many frames.
    unsigned receive(net::Stack& stack, Instant now);

    // --- net::Link
    Result<> transmit(std::span<const Bytes> pieces, net::LinkWork work) override;

  private:
    static constexpr uint32_t buffers = e1000::ring_slots / 2; // each way

    Result<> provide(uint32_t buffer);
    MutableBytes buffer(uint32_t number) const;
    PhysAddr address(uint32_t number) const;

    std::optional<os::Registers> registers_;
    std::optional<e1000::Device<hw::Mmio>> device_;
    std::optional<os::Memory> rx_memory_, tx_memory_, packets_;
    PhysAddr packets_at_{};
    std::optional<e1000::RxRing> rx_;
    std::optional<e1000::TxRing> tx_;
    uint32_t next_{}; // of the buffers for sending
};

} // namespace peer
