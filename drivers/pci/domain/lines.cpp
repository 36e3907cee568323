#include "drivers/pci/domain/lines.hpp"

#include <algorithm>

#include "lib/base/log.hpp"

namespace pci {

using abi::InterruptMode;
using os::OwnedCap;

namespace {

bool is_level(InterruptMode mode) {
    return mode == InterruptMode::level_high || mode == InterruptMode::level_low;
}

} // namespace

Result<> Lines::begin() {
    TRY_VOID(learn_board());
    lines_ = TRY(self_.find_given("pci.lines"));
    const os::Description lines = TRY(os::describe(lines_));
    first_line_ = static_cast<uint32_t>(lines.base - abi::interrupt_space);
    line_count_ = static_cast<uint32_t>(lines.bytes);
    return {};
}

Result<> Lines::learn_board() {
    const os::CapSlot frame = TRY(self_.find_given("boot.info"));
    const os::View view = TRY(os::View::make(frame, 0, page_bytes, abi::read));
    const auto& info = *view.as<const abi::BootInfo>();
    if (info.magic != abi::boot_info_magic) return fail(Err::malformed);
    std::ranges::copy(info.irq_gsi, isa_line_.begin());
    std::ranges::copy(info.irq_mode, isa_mode_.begin());
    return {};
}

/// An INTx is a level; an override of the firmware may only say that it is active high.
Result<Line> Lines::line_of(const hw::PciFunction& function) {
    const IntxRoute route = TRY(route_intx(config_, router_, function));
    if (!route.isa) return Line{route.gsi, InterruptMode::level_low};
    if (route.gsi >= isa_line_.size()) return fail(Err::device_fault);
    const auto mode = InterruptMode{isa_mode_[route.gsi]};
    const bool low = mode == InterruptMode::level_low || mode == InterruptMode::edge_low;
    return Line{isa_line_[route.gsi], low ? InterruptMode::level_low : InterruptMode::level_high};
}

Result<OwnedCap> Lines::take(uint32_t gsi) {
    if (gsi < first_line_ || gsi - first_line_ >= line_count_) return fail(Err::range_bounds);
    return os::part_of(lines_, abi::Kind::interrupt, gsi - first_line_, 1);
}

/// The line goes straight to the client's core; this service is not in its way.
Result<> Lines::route_isa(uint32_t irq, LineUser& user, os::CapSlot bell) {
    if (irq >= isa_.size()) return fail(Err::bad_argument);
    const auto mode = InterruptMode{isa_mode_[irq]};
    if (is_level(mode)) return fail(Err::unsupported);
    if (isa_[irq].user != nullptr && isa_[irq].user != &user) return fail(Err::busy);
    isa_[irq] = IsaRoute{};
    OwnedCap line = TRY(take(isa_line_[irq]));
    TRY_VOID((os::InterruptLine{{line.slot()}}.bind(bell, mode)));
    isa_[irq].line = std::move(line);
    isa_[irq].user = &user;
    return {};
}

// -- lines of drivers on other cores --

Result<> Lines::forward(uint32_t address, Line line) {
    const auto place = std::ranges::find(forwarded_, nullptr);
    if (place == forwarded_.end()) return fail(Err::no_space);
    Forwarded* const made = new (std::nothrow) Forwarded{self_};
    if (made == nullptr) return fail(Err::no_memory);
    *place = made; // for good: a function stays where it is
    made->address = address;
    made->line = TRY(take(line.gsi));
    TRY_VOID(made->interrupt.open(made->line.slot(), line.mode));
    return self_.loop().spawn("forward an interrupt", [&] { return tell_of(*made); });
}

async::Task<> Lines::tell_of(Forwarded& f) {
    for (;;) {
        co_await f.interrupt.wait();
        if (f.user != nullptr && !f.user->tell(f.address))
            log::warn("interrupt of {} is lost: its driver does not listen", f.address);
    }
}

Result<> Lines::claim(uint32_t address, LineUser& user) {
    for (Forwarded* f : forwarded_) {
        if (f == nullptr || f->address != address) continue;
        if (f->user != nullptr && f->user != &user) return fail(Err::busy);
        f->user = &user;
        // One may have fired while nobody listened.
        return f->interrupt.acknowledge();
    }
    return fail(Err::not_found);
}

void Lines::interrupt_done(uint32_t address, const LineUser& user) {
    for (Forwarded* f : forwarded_)
        if (f != nullptr && f->address == address && f->user == &user)
            (void)f->interrupt.acknowledge();
}

void Lines::gone(const LineUser& user) {
    for (IsaRoute& route : isa_)
        if (route.user == &user) route = IsaRoute{};
    for (Forwarded* f : forwarded_)
        if (f != nullptr && f->user == &user) f->user = nullptr;
}

} // namespace pci
