#include "lib/os/domain.hpp"

#include <bit>

#include "lib/async/loop.hpp"
#include "lib/os/cores.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/logging.hpp"
#include "lib/os/memory.hpp"
#include "lib/os/waiter.hpp"

namespace os {
namespace {

// Well below what it costs to sleep and be woken by another core, as whoever polls keeps others off
// his own core: on two cores 2000 turns cost four fifths of the rate of a download.
constexpr uint32_t default_poll_turns = 50;

// One of them; the patient one's way to sleep is longer.
constinit Waiter plain_waiter;
constinit PatientWaiter patient_waiter;
constinit Immortal<async::Loop> the_loop;
constinit Immortal<Vigil> the_vigil;

MutableBytes task_memory(size_t bytes) {
    auto memory = Memory::make(bytes);
    INVARIANT(memory, "the quota of a domain holds the memory of its tasks");
    memory->view.keep();
    memory->frame.keep();
    return memory->span();
}

} // namespace

async::Loop& Domain::loop() {
    if (!the_loop.made()) {
        const bool alone = core_count_ == 1; // nobody to write while we look
        const uint32_t turns = alone ? 0 : settings_.poll.value_or(default_poll_turns);
        the_loop.make(waiter(), task_memory(task_bytes_), turns);
        constexpr int64_t looks = 4;
        if (is_patient()) patient_waiter.set(the_vigil.make(*the_loop, patience() / looks));
    }
    return *the_loop;
}

Vigil* Domain::vigil() {
    return the_vigil.made() ? &*the_vigil : nullptr;
}

Duration Domain::patience() const {
    if (settings_.suspect) return milliseconds(int64_t{*settings_.suspect});
    return settings_.count.empty() ? patience_of(core_count_) : Duration{};
}

bool Domain::is_patient() const {
    return core_count_ > 1 && patience() != Duration{};
}

Waiter& Domain::waiter() const {
    return is_patient() ? patient_waiter : plain_waiter;
}

void Domain::answer_calls(LocalServer& server) {
    waiter().answer_calls(server);
}

/// Whoever knows a monitor can reach the console; the console itself needs nobody.
bool Domain::can_reach_console() const {
    const auto monitor = describe(abi::slot_at(0, abi::slot::monitor));
    return name_ != "console" && monitor && monitor->kind == Kind::endpoint;
}

int Domain::serve() {
    if (can_reach_console()) (void)loop().spawn("log", [&] { return forward_log(*this); });
    loop().run();
    return code_;
}

void Domain::stop(int code) {
    code_ = code;
    loop().stop();
}

Result<unsigned> Domain::take_event_bit() {
    if (event_bits_ == 0) return fail(Err::no_space);
    const auto bit = static_cast<unsigned>(std::countr_zero(event_bits_));
    event_bits_ = static_cast<uint16_t>(event_bits_ & (event_bits_ - 1));
    return bit;
}

void Domain::give_event_bit(unsigned bit) {
    loop().unbind(bit);
    event_bits_ = static_cast<uint16_t>(event_bits_ | 1u << bit);
}

} // namespace os
