// Revocation: mark, one message to each core of the set, gather, then here step by step. Driven by
// the owner's monitor, so that it ends whatever becomes of who asked.
#include <utility>

#include "lib/base/mutant.hpp"
#include "monitor/monitor.hpp"

namespace monitor {

// -- the owner --

bool Monitor::is_revoking(const Range& range) const {
    if (planted(Mutant::mark_not_set)) return false;
    for (const Revocation* const revocation : marks_)
        if (revocation != nullptr && revocation->range.contains(range)) return true;
    return false;
}

Result<uint32_t> Monitor::revoke(uint32_t badge, CapSlot what) {
    Revocation* made = nullptr;
    const Result<> done = [&]() -> Result<> {
        Client& caller = *TRY(client(badge));
        const Described is = TRY(kernel_.describe(what));
        if (is.kind != abi::Kind::ram && is.kind != abi::Kind::frame) return fail(Err::cap_type);
        if (is.borrowed) return fail(Err::foreign);
        const Range range{is.base, is.bytes};
        bool any_lent = false;
        loans_.each([&](const Loan& loan) { any_lent |= range.contains(loan.range); });
        if (!any_lent) return {};
        if (caller.revocations >= revocations_max || caller.revocations >= revocations_.left())
            return fail(Err::quota);
        made = TRY(revocations_.take());
        ++caller.revocations;
        made->caller = badge;
        made->turn = changes_;
        made->range = range;
        made->what = std::exchange(what, abi::null_slot);
        return {};
    }();
    drop(what);
    if (!done) return fail(done.error());
    if (made == nullptr) return 0;
    const uint32_t number = revocations_.number_of(*made);
    begin_waiting();
    return number;
}

/// As many at a time as there are marks; the others wait in line.
void Monitor::begin_waiting() {
    for (;;) {
        const auto place = std::ranges::find(marks_, nullptr);
        if (place == marks_.end()) return;
        Revocation* first = nullptr;
        revocations_.each([&](Revocation& revocation) {
            const bool waits = revocation.state == Revocation::State::waiting;
            if (waits && (first == nullptr || revocation.turn < first->turn)) first = &revocation;
        });
        if (first == nullptr) return;
        begin(*first, static_cast<size_t>(place - marks_.begin()));
    }
}

void Monitor::begin(Revocation& revocation, size_t place) {
    const bool marks = !planted(Mutant::mark_not_set);
    if (const auto marked = marks ? kernel_.mark(revocation.what) : Result<>{}; !marked) {
        // It went with what it was made of, while it waited.
        const bool gone = marked.error().top() == Err::cap_empty;
        return finish(revocation, gone ? Fault{Err::none} : marked.error());
    }
    marks_[place] = &revocation;
    revocation.place_of_mark = place;
    revocation.state = Revocation::State::gathering;
    CoreSet cores, directly;
    lents_.each([&](const Lent& lent) {
        const bool meant = lent.loan != nullptr && revocation.range.contains(lent.loan->range);
        if (planted(Mutant::flight_forgotten) && lent.in_flight) return;
        if (!meant || lent.core == self_) return;
        cores.insert(lent.core);
        if (lent.in_flight) directly.insert(lent.core);
    });
    for (Binding& end : bindings_.all()) {
        const bool meant = end.state != Binding::State::unused && end.is_client &&
                           end.state != Binding::State::abandoned &&
                           end.state != Binding::State::closed &&
                           revocation.range.contains(end.range);
        if (meant) frame_going_here(end);
    }
    multicast(revocation, cores, directly);
    busy_ = true;
}

/// Says it to each of `cores` and hears of each that it is done: along a tree, but for those to
/// whom something is on its way, which it has to be behind.
void Monitor::multicast(Revocation& revocation, const CoreSet& cores, const CoreSet& directly) {
    revocation.round = round_;
    CoreSet asked;
    cores.each([&](CoreId core) {
        if (peer(core).link == Link::none) return;
        if (planted(Mutant::core_skipped) && cores.size() > 1 && core.raw > self_.raw) return;
        const bool by_tree = peer(core).link == Link::open && !directly.contains(core);
        (by_tree ? revocation.tree : asked).insert(core);
    });
    revocation.below = revocation.tree;
    ask(revocation, asked);
    spread(revocation);
}

void Monitor::ask(Revocation& revocation, const CoreSet& cores) {
    cores.each([&](CoreId core) {
        if (peer(core).link == Link::none) return;
        revocation.unanswered.insert(core);
        // Behind the lends that are on their way there.
        RevokeOut& out = peer(core).revokes[revocation.place_of_mark];
        out.operation = revocations_.number_of(revocation);
        if (!out.owed()) owe(out, core);
    });
}

void Monitor::gathered(Revocation& revocation, CoreId core) {
    revocation.unanswered.erase(core);
    if (revocation.unanswered.empty()) busy_ = true;
}

/// Whether it went on.
bool Monitor::step(Revocation& revocation) {
    if (revocation.state == Revocation::State::gathering) {
        if (!revocation.below.empty()) spread(revocation);
        if (!revocation.unanswered.empty() || !revocation.below.empty()) return false;
        if (pinned_end(self_, revocation.range) != nullptr) return false;
        lents_.each([&](Lent& lent) {
            if (lent.loan != nullptr && revocation.range.contains(lent.loan->range))
                end_lend(lent, Err::revoking);
        });
        revocation.state = Revocation::State::removing;
        return true;
    }
    const auto done = kernel_.revoke_step(revocation.what);
    if (!done && done.error().top() == Err::again) return true;
    const bool gone = !done && done.error().top() == Err::cap_empty;
    finish(revocation, done || gone ? Fault{Err::none} : done.error());
    return true;
}

void Monitor::finish(Revocation& revocation, Fault status) {
    const bool had_mark = revocation.state != Revocation::State::waiting;
    if (had_mark) {
        if (!planted(Mutant::mark_left)) kernel_.unmark(revocation.what);
        marks_[revocation.place_of_mark] = nullptr;
    }
    revocation.state = Revocation::State::done;
    revocation.status = status;
    if (!kernel_.describe(revocation.what)) drop(revocation.what);
    Client* const caller = revocation.caller ? clients_.find(*revocation.caller) : nullptr;
    if (caller != nullptr) {
        caller->done.push_back(revocation);
        wake(*caller);
    } else {
        drop(revocation.what);
        revocations_.release(revocation);
    }
    if (had_mark) begin_waiting();
}

// -- the borrower --

void Monitor::on(CoreId from, const Revoke& message) {
    if (message.owner == self_) {
        ++counters_.bad_messages;
        return;
    }
    if (is_overtaken(from, message)) return;
    Peer& owner = peer(message.owner);
    if (is_before(owner.round, message.round)) owner.round = message.round;
    auto job = std::ranges::find_if(owner.jobs, [&](const RevokeJob& known) {
        return known.used && known.operation == message.operation;
    });
    if (job == owner.jobs.end()) job = std::ranges::find(owner.jobs, false, &RevokeJob::used);
    if (job == owner.jobs.end()) {
        ++counters_.bad_messages;
        return;
    }
    end_relay(*job); // it may have been asked before, by another way
    forgive(*job);
    job->used = true;
    job->owner = message.owner;
    job->operation = message.operation;
    job->asker = from;
    job->round = message.round;
    job->incomplete = false;
    job->range = {message.base, message.bytes};
    if (!job->job_hook.linked()) jobs_.push_back(*job);
    busy_ = true;
    if (!message.beyond.empty()) begin_relay(*job, message);
    drop_untaken(job->owner, job->range);
    // Peers hear before the memory goes.
    for (Binding& end : bindings_.all()) {
        const bool meant = end.state != Binding::State::unused && !end.is_client &&
                           end.peer == job->owner && job->range.contains(end.range);
        if (meant) frame_going_there(end);
    }
}

/// What nobody has taken yet never arrives.
void Monitor::drop_untaken(CoreId owner, const Range& range) {
    borrows_.each([&](Borrow& borrow) {
        const bool meant = borrow.owner == owner && !borrow.taken &&
                           borrow.keeper != abi::null_slot && range.contains(borrow.range);
        if (!meant) return;
        if (Parcel* const parcel = parcels_.find(borrow.parcel)) {
            parcel->borrow = 0;
            parcel->answer = Parcel::Answer::none; // the owner counts it as answered
            parcel->status = Err::revoking;
        }
        forget(borrow);
    });
}

/// Whether it went on.
bool Monitor::step(RevokeJob& job) {
    if (pinned_end(job.owner, job.range) != nullptr) return false;
    Borrow* next = nullptr;
    for (size_t i = 0; i < borrows_.end() && next == nullptr; ++i) {
        Borrow* const borrow = borrows_.at(i);
        const bool meant = borrow != nullptr && borrow->owner == job.owner &&
                           borrow->keeper != abi::null_slot && job.range.contains(borrow->range);
        if (meant) next = borrow;
    }
    const bool buries = &job == &peer(job.owner).burial;
    if (next == nullptr && buries) return bury(job);
    if (next == nullptr || (!buries && planted(Mutant::early_acknowledgement))) {
        if (job.relay != nullptr) {
            spread(job);
            const bool all = job.relay->unanswered.empty() && job.relay->content.beyond.empty();
            if (!all && !planted(Mutant::relay_early)) return false;
            end_relay(job);
        }
        jobs_.remove(job);
        if (peer(job.owner).link == Link::none || peer(job.asker).link == Link::none)
            job.used = false;
        else
            owe(job, job.asker);
        return true;
    }
    const auto done = kernel_.revoke_step(next->keeper);
    if (!done && done.error().top() == Err::again) return true;
    if (planted(Mutant::keeper_kept)) next->keeper = abi::null_slot;
    forget(*next);
    return true;
}

// -- both --

const Binding* Monitor::pinned_end(CoreId owner, const Range& range) {
    if (pinned_ == 0) return nullptr;
    for (const Binding& end : bindings_.all())
        if (end.pinned && end.peer == owner && range.contains(end.range)) return &end;
    return nullptr;
}

Result<> Monitor::pin(uint32_t badge, uint32_t number, CapSlot frame) {
    const Result<> pinned = [&]() -> Result<> {
        TRY_VOID(client(badge));
        Binding& end = *TRY(binding_of(badge, number));
        if (end.is_client || !end.taken) return fail(Err::bad_state);
        if (end.news == Binding::News::peer_gone) return fail(Err::peer_gone);
        if (end.pinned) return {};
        const Described is = TRY(kernel_.describe(frame));
        const bool same = is.kind == abi::Kind::frame && Range{is.base, is.bytes} == end.range;
        if (!same) return fail(Err::bad_argument);
        if (end.peer == self_) {
            // A Loan: whoever revokes the memory by himself is sent to us.
            end.pin = lents_.number_of(*TRY(lend(self_, frame, end.range, is.rights)));
        }
        end.pinned = true;
        ++pinned_;
        return {};
    }();
    drop(frame);
    return pinned;
}

void Monitor::unpin(Binding& binding) {
    if (!std::exchange(binding.pinned, false)) return;
    --pinned_;
    end_lend(std::exchange(binding.pin, 0), Err::none);
    sweep_ = borrows_.end(); // it may have drained meanwhile
    busy_ = true;
}

Result<uint32_t> Monitor::holding(uint32_t badge) {
    TRY_VOID(privileged(badge));
    for (const RevokeJob& job : jobs_)
        if (const Binding* const end = pinned_end(job.owner, job.range)) return end->owner;
    for (const Revocation* const revocation : marks_) {
        if (revocation == nullptr) continue;
        if (const Binding* const end = pinned_end(self_, revocation->range)) return end->owner;
    }
    return fail(Err::not_found);
}

bool Monitor::work() {
    if (!busy_) return false;
    ++changes_;
    bool went_on = decide_pending();
    if (drained_) went_on |= take_drained();
    if (sweep_ > 0) went_on |= sweep();
    RevokeJob* following = nullptr;
    for (RevokeJob* job = jobs_.front(); job != nullptr; job = following) {
        following = jobs_.next(*job);
        went_on |= step(*job);
    }
    for (Revocation* const revocation : marks_)
        if (revocation != nullptr) went_on |= step(*revocation);
    went_on |= take_over_cleared();
    went_on |= survey();
    busy_ = went_on || drained_ || sweep_ > 0;
    return busy_;
}

} // namespace monitor
