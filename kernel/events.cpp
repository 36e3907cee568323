// What wakes a dispatcher: doorbells of this core, vectors from other cores and from devices,
// the end of its deadline.
#include <algorithm>

#include "kernel/answer.hpp"
#include "kernel/core.hpp"
#include "kernel/hostile.hpp"

namespace kernel {

namespace {

constexpr unsigned wakes_a_timer = 32; // more are due: the next interrupt comes at once

bool is_level(abi::InterruptMode mode) {
    return mode == abi::InterruptMode::level_low || mode == abi::InterruptMode::level_high;
}

} // namespace

void Core::post(Dispatcher& d, unsigned bit) {
    if (d.page == nullptr) return;
    const uint64_t bits = read_once(d.page->pending) | uint64_t{1} << bit;
    if (d.state != State::waiting) {
        d.page->pending = bits;
        return;
    }
    wake(d, bits);
    scheduler_.ready(d);
}

/// It waits no more; it is not on a ready list yet.
void Core::wake(Dispatcher& d, uint64_t bits) {
    d.page->pending = 0;
    scheduler_.forget_deadline(d);
    answer_events(d.registers, bits);
    d.open = false;
    d.state = State::runnable;
}

Result<> Core::ring(const Slot& doorbell) {
    if (doorbell.kind != Kind::doorbell) return fail(Err::cap_type);
    if (doorbell.base >= abi::core_space) {
        ++statistics_.ipis_sent;
        const auto apic = static_cast<uint32_t>(doorbell.base - abi::core_space);
        machine_.send_ipi(ApicId{{apic}}, static_cast<uint8_t>(doorbell.tag()));
        return {};
    }
    post(dispatcher(doorbell), static_cast<unsigned>(doorbell.tag()));
    return {};
}

/// A ring of another core costs it an interrupt. Who rings more often than he earns pauses, with
/// the last ring under way: none is lost, and nobody has to try again.
void Core::pay_for_ring(Dispatcher& d) {
    const uint64_t now = machine_.ticks(), most = ring_burst * ring_ticks_;
    d.rings_until = std::max(d.rings_until, now) + ring_ticks_;
    const uint64_t ahead = d.rings_until - now;
    if (ahead <= most) return;
    ++statistics_.held_back;
    d.state = State::held_back;
    scheduler_.give_up();
    scheduler_.sleep_until(d, machine_.now() + machine_.duration(ahead - most));
}

void Core::on_timer() {
    ++statistics_.timer;
    const Instant now = machine_.now();
    for (unsigned woken = 0; woken < wakes_a_timer; ++woken) {
        Dispatcher* const d = scheduler_.earliest();
        if (d == nullptr || d->deadline > now) break;
        if (d->state == State::held_back) {
            scheduler_.forget_deadline(*d);
            make_runnable(*d);
        } else {
            post(*d, abi::event_timer);
        }
    }
    if (current_ == nullptr || current_->state != State::runnable || now < slice_end_) return;
    slice_end_ = never;
    slice_over_ = scheduler_.at(current_->priority);
}

void Core::on_device_or_ipi_vector(uint8_t vector) {
    if (const Vectors::Sharers* const sharers = vectors_.sharers(vector); sharers != nullptr) {
        ++statistics_.ipis_received;
        if (sharers->empty()) ++statistics_.spurious;
        for (Dispatcher& d : *sharers)
            post(d, abi::event_remote);
        return tell_current();
    }
    ++statistics_.interrupts;
    const Line* const line = vectors_.line(vector);
    if (line == nullptr) {
        ++statistics_.spurious;
        return;
    }
    if (line->level) machine_.mask_interrupt(line->gsi, true);
    post(*line->target, line->bit);
    tell_current();
}

/// It was interrupted for an event that may be its own.
void Core::tell_current() {
    if (current_ == nullptr || current_->state != State::runnable) return;
    if (read_once(current_->page->wants_run_upcall) != 0) give_run_upcall(*current_);
}

Result<> Core::bind_interrupt(const Slot& line, const Slot& doorbell, abi::InterruptMode mode) {
    if (doorbell.kind != Kind::doorbell) return fail(Err::cap_type);
    if (!doorbell.rights.has(abi::write)) return fail(Err::cap_rights);
    const uint64_t gsi = line.base - abi::interrupt_space;
    if (line.bytes != 1) return fail(Err::bad_argument);
    if (gsi >= interrupt_lines) return fail(Err::unsupported);
    if (mode > abi::InterruptMode::edge_low) return fail(Err::bad_argument);
    if (database_.revoking(line) || database_.revoking(doorbell)) return fail(Err::revoking);
    const auto number = static_cast<uint32_t>(gsi);
    const bool remote = doorbell.base >= abi::core_space;
    if (remote && is_level(mode)) return fail(Err::unsupported); // its core cannot unmask it

    ApicId to = config_.apic;
    uint8_t vector = static_cast<uint8_t>(doorbell.tag());
    if (remote) {
        to = ApicId{{static_cast<uint32_t>(doorbell.base - abi::core_space)}};
    } else {
        vector = TRY(vectors_.vector_for_line(number));
    }
    TRY_VOID(machine_.route_interrupt(number, mode, to, vector));
    if (Line* const before = vectors_.line_of(number); before != nullptr) before->target = nullptr;
    if (!remote) {
        const auto bit = static_cast<uint8_t>(doorbell.tag());
        vectors_.bind(vector, Line{&dispatcher(doorbell), number, bit, is_level(mode)});
    }
    vectors_.set_routed(number);
    machine_.mask_interrupt(number, false);
    return {};
}

Result<> Core::acknowledge_interrupt(const Slot& line) {
    const uint64_t gsi = line.base - abi::interrupt_space;
    if (line.bytes != 1) return fail(Err::bad_argument);
    if (gsi >= interrupt_lines || !vectors_.routed(static_cast<uint32_t>(gsi))) {
        return fail(Err::bad_state);
    }
    machine_.mask_interrupt(static_cast<uint32_t>(gsi), false);
    return {};
}

void Core::unbind_line(Line& line) {
    machine_.mask_interrupt(line.gsi, true);
    vectors_.clear_routed(line.gsi);
    line.target = nullptr;
}

/// The last capability to this range of lines goes: none of them interrupts anybody any more.
void Core::mask_lines(const Slot& range) {
    const uint64_t begin = range.base - abi::interrupt_space;
    for (uint64_t gsi = begin; gsi < begin + range.bytes && gsi < interrupt_lines; ++gsi) {
        const auto number = static_cast<uint32_t>(gsi);
        if (!vectors_.routed(number)) continue;
        machine_.mask_interrupt(number, true);
        vectors_.clear_routed(number);
        if (Line* const line = vectors_.line_of(number); line != nullptr) line->target = nullptr;
    }
}

} // namespace kernel
