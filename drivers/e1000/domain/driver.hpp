// One card as its domain drives it: registers, interrupt and rings, and the packet memory of the
// stack that has it. Whether that stack is in this domain or behind a channel it does not know.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "drivers/e1000/device.hpp"
#include "drivers/e1000/pump.hpp"
#include "drivers/e1000/rings.hpp"
#include "interfaces/nic.hpp"
#include "lib/async/loop.hpp"
#include "lib/base/text.hpp"
#include "lib/netq/layout.hpp"
#include "lib/os/device.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/interrupt.hpp"
#include "lib/os/memory.hpp"

namespace e1000 {

/// Who has the card.
class Stack {
  public:
    virtual void link_changed(const Link& link) = 0;
    /// There is something for it in the queues.
    virtual void published() = 0;

  protected:
    ~Stack() = default;
};

class Driver {
  public:
    explicit Driver(os::Domain& self) : self_{self}, irq_{self} {}

    Driver(const Driver&) = delete;

    /// With what this domain was given. Errors: not_found, device_fault, those of the interrupt.
    Result<> open();

    /// Of its service: nic.N.
    std::string_view name() const { return name_.view(); }

    const MacAddress& mac() const { return mac_; }

    /// May it be asked to cut long segments? Sum up it can always.
    bool segments() const { return segments_; }

    Result<Link> link() { return card_->link(); }

    /// `area_at` is where the area begins in physical memory. Errors: busy (somebody has the card),
    /// no_space.
    Result<> start(Stack& stack, const netq::Area& area, PhysAddr area_at);

    /// The card reaches that memory no more; nothing, if it is not that one's.
    void stop(const Stack& stack);

    /// Does what there is to do now, for a stack that is in this domain and need not wait.
    void run() {
        if (traffic_) traffic_->pump();
    }

    void set_groups(std::span<const MacAddress> groups) { card_->set_groups(groups); }

    uint64_t value_of(interfaces::nic::Statistic which);

  private:
    using Card = Device<hw::Mmio>;
    using CardPump = Pump<hw::Mmio>;

    /// The queues of the stack, while it has the card.
    class Traffic final : public async::Source {
      public:
        Traffic(Stack& stack, const CardPump& pump) : stack_{stack}, pump_{pump} {}

        bool pump() override {
            if (!ready()) return false;
            interrupted_ = false;
            ++batches_;
            if (pump_.run()) stack_.published();
            return true;
        }

        bool ready() override { return interrupted_ || pump_.has_work(); }

        /// The card has something: frames in its ring are not seen by ready().
        void interrupted() { interrupted_ = true; }

        // pump() has told the stack at once; a stack behind a channel is armed for by that.
        void flush() override {}

        void arm(uint64_t) override {}

        void disarm() override {}

        uint64_t batches() const { return batches_; }

      private:
        Stack& stack_;
        CardPump pump_;
        uint64_t batches_{};
        bool interrupted_{true}; // what the card had before
    };

    Result<> make_rings();
    Result<> open_interrupt();
    Result<> take_interrupt();
    Result<> revive();
    async::Task<> serve_interrupts();
    async::Task<> serve_forwarded(uint32_t address);
    async::Task<> serve_polled();
    std::optional<uint64_t> argument(std::string_view key, uint64_t most) const;

    os::Domain& self_;
    std::optional<os::Registers> registers_; // mapped as long as the driver runs
    std::optional<Card> card_;
    os::Interrupt irq_;
    bool segments_{};
    MacAddress mac_{};
    std::optional<os::Memory> rx_memory_, tx_memory_;
    std::optional<RxRing> rx_;
    std::optional<TxRing> tx_;
    std::optional<Traffic> traffic_;
    Stack* stack_{};
    Text<8> name_;
    uint64_t interrupts_{}, resets_{};
};

} // namespace e1000
