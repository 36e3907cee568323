#include "cpudriver/x86_64/apic.hpp"

#include <algorithm>

namespace cpu {

using namespace hw::lapic;

void LocalApic::enable(std::byte* window) {
    registers_ = {ApicIo{window}};
    const BaseMsr::Value base{read_msr(BaseMsr::offset)};
    const bool x2apic = window == nullptr;
    write_msr(BaseMsr::offset, base.with(BaseMsr::Enable{true}).with(BaseMsr::X2Apic{x2apic}).raw);
    registers_.write<TaskPriority>({0});
    registers_.write<LvtTimer>(LvtTimer::of(LvtTimer::Masked{true}));
    registers_.write<LvtLint0>(LvtLint0::of(LvtLint0::Masked{true}));
    registers_.write<LvtLint1>(
        LvtLint1::of(LvtLint1::Mode{hw::lapic::Delivery::nmi}, LvtLint1::Masked{false})
    );
    registers_.write<LvtError>(LvtError::of(LvtError::Vector{apic_error_vector}));
    registers_.write<Spurious>(
        Spurious::of(Spurious::Vector{spurious_vector}, Spurious::SoftwareOn{true})
    );
}

ApicId LocalApic::id() {
    const Id::Value v = registers_.read<Id>();
    return {{registers_.io.x2apic() ? v.raw : v.get<Id::XApicId>()}};
}

void LocalApic::send(ApicId to, CommandLow::Value command) {
    if (registers_.io.x2apic()) {
        write_msr(x2apic_msr(CommandLow::offset), uint64_t{to.raw} << 32 | command.raw);
        return;
    }
    // One command at a time; the bus takes it within microseconds. Bounded all the same.
    for (unsigned tries = 0; tries < 100'000; ++tries) {
        if (!registers_.read<CommandLow>().get<CommandLow::Pending>()) break;
        pause();
    }
    registers_.write<CommandHigh>(
        CommandHigh::of(CommandHigh::Destination{static_cast<uint8_t>(to.raw)})
    );
    registers_.write<CommandLow>(command);
}

void LocalApic::enable_timer() {
    constexpr unsigned sixteen = 4;
    registers_.write<TimerDivide>(divide_by(sixteen));
    registers_.write<LvtTimer>(LvtTimer::of(LvtTimer::Vector{timer_vector}));
}

IoApic::IoApic(std::byte* window, uint32_t gsi_base)
    : device_{hw::Mmio{window, hw::ioapic::window_bytes}}, gsi_base_{gsi_base},
      pins_{std::min(device_.pins(), pins_max)} {}

void IoApic::mask_all() {
    for (uint32_t pin = 0; pin < pins_; ++pin)
        device_.write(pin, written_[pin]);
}

std::optional<uint32_t> IoApic::pin_of(uint32_t gsi) const {
    if (gsi < gsi_base_ || gsi - gsi_base_ >= pins_) return std::nullopt;
    return gsi - gsi_base_;
}

Result<> IoApic::route(uint32_t gsi, abi::InterruptMode mode, ApicId core, uint8_t vector) {
    const auto pin = pin_of(gsi);
    if (!pin) return fail(Err::no_device);
    if (core.raw > 255) return fail(Err::unsupported); // needs interrupt remapping
    using abi::InterruptMode;
    written_[*pin] = {
        .vector = vector,
        .active_low = mode == InterruptMode::level_low || mode == InterruptMode::edge_low,
        .level = mode == InterruptMode::level_low || mode == InterruptMode::level_high,
        .masked = true,
        .destination = static_cast<uint8_t>(core.raw),
    };
    device_.write(*pin, written_[*pin]);
    return {};
}

void IoApic::mask(uint32_t gsi, bool masked) {
    const auto pin = pin_of(gsi);
    if (pin) device_.set_mask(*pin, written_[*pin], masked);
}

} // namespace cpu
