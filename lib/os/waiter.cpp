#include "lib/os/waiter.hpp"

#include <atomic>

#include "lib/base/invariant.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/fault.hpp"

namespace os {

Instant Waiter::now() {
    return os::now();
}

bool Waiter::is_rung() {
    // relaxed: the CPU driver of this same core sets it; a ring that is seen late is still there
    const uint64_t pending = std::atomic_ref{page().pending}.load(std::memory_order_relaxed);
    return (pending & async::ring_bits) != 0;
}

uint64_t Waiter::wait(std::optional<Instant> deadline) {
    const auto arrival = next(deadline);
    INVARIANT(arrival, "our own dispatcher can always wait: the receive slot is kept empty");
    if (!arrival->is_message) return arrival->events;
    answer(*arrival);
    return 0; // what the server did may have made tasks ready
}

Result<Arrival> Waiter::next(std::optional<Instant> deadline) {
    // A capability that was given away leaves its slot with the reply: it is looked after between.
    const bool together = owes_reply_ && !deadline && reply_.give == abi::null_slot;
    if (together) {
        owes_reply_ = false;
        return self().reply_wait(reply_);
    }
    send_reply();
    const bool passed = deadline && *deadline <= now();
    const uint64_t flags =
        (server_ != nullptr ? abi::wait_accepts_calls : 0) | (passed ? abi::wait_polls : 0);
    const Instant until = deadline && !passed ? *deadline : Instant{0};
    return self().wait(until, flags, place_of(receive_slot));
}

/// The caller may be gone, or have no room for a capability: his affair.
void Waiter::send_reply() {
    if (!owes_reply_) return;
    owes_reply_ = false;
    const auto sent = self().reply(reply_);
    if (!sent && reply_.give != abi::null_slot) {
        // What was to come along was revoked meanwhile: the caller waits for an answer all the
        // same.
        (void)self().reply({.word = rpc::refusal(sent.error()).words});
    }
    forget_given();
}

void Waiter::forget_given() {
    if (reply_.give == abi::null_slot || !reply_.move_it) return;
    (void)slots().remove(reply_.give);
    reply_.give = {};
}

void Waiter::answer(const Arrival& arrival) {
    rpc::LocalMessage message;
    message.words = arrival.words;
    if (arrival.has_capability) {
        const auto slot = slots().take_received();
        if (!slot) {
            const rpc::LocalMessage refused = rpc::refusal(slot.error());
            reply_ = {.word = refused.words};
            owes_reply_ = true;
            return;
        }
        message.cap = *slot;
    }
    const rpc::LocalMessage answer = server_->serve(arrival.badge, message);
    reply_ = {.word = answer.words, .give = answer.cap, .move_it = answer.give};
    owes_reply_ = true;
}

} // namespace os
