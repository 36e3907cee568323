// Cores that leave, by their own will or not. Suspected is only who does not answer somebody that
// waits; the lowest core that is up decides and stops it first. Then everybody clears away what it
// had to do with it and says so, along the tree (Cleared); when all have, the decider takes over
// what it owned, and it may be started again.
#include <algorithm>
#include <utility>

#include "lib/base/format.hpp"
#include "lib/base/mutant.hpp"
#include "monitor/monitor.hpp"

namespace monitor {

// -- suspecting --

/// Something is to be heard of `core`.
void Monitor::expect(CoreId core) {
    if (!expects_.contains(core)) peer(core).silent_looks = 0;
    expects_.insert(core);
}

void Monitor::no_room(CoreId core) {
    if (peer(core).link == Link::open) expect(core);
}

void Monitor::heard(CoreId core) {
    expects_.erase(core);
    suspected_.erase(core);
    suspects_untold_.erase(core);
}

void Monitor::look_at_clock() {
    constexpr uint8_t looks_before_ping = 2, looks_before_suspicion = 4;
    ++changes_;
    look_at_silence();
    for (size_t i = 0; i < cores_.count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        // Whoever is next to the decider waits for what becomes of those that leave.
        if (is_leaving(cores_[core].state) && edges_.contains(cores_.decider()))
            expect(cores_.decider());
    }
    for (size_t i = 0; i < cores_.count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        if (!expects_.contains(core)) continue;
        Peer& there = peer(core);
        if (there.link == Link::none) {
            expects_.erase(core);
        } else if (++there.silent_looks >= looks_before_suspicion) {
            expects_.erase(core);
            report(core);
        } else if (there.silent_looks == looks_before_ping) {
            there.owes_ping = there.link == Link::open;
        }
    }
}

Result<> Monitor::suspect(uint32_t badge, CoreId core) {
    TRY_VOID(client(badge));
    if (core == self_ || !cores_.is_known(core)) return fail(Err::no_such_core);
    if (!cores_.is_up(core)) return {};
    TRY_VOID(need_link(core));
    if (peer(core).link == Link::open) peer(core).owes_ping = true;
    expect(core);
    return {};
}

Result<> Monitor::leave_machine(uint32_t badge) {
    TRY_VOID(privileged(badge));
    if (cores_.up().size() < 2) return fail(Err::bad_state);
    leaves_ = owes_leave_ = busy_ = true;
    return {};
}

Result<> Monitor::hang(uint32_t badge) {
    TRY_VOID(privileged(badge));
    kernel_.hang();
    return {};
}

/// The decider is to hear that `core` does not answer.
void Monitor::report(CoreId core) {
    const CoreState state = cores_[core].state;
    if (state != CoreState::up && state != CoreState::starting) return;
    suspected_.insert(core);
    suspects_untold_.insert(core);
    owes_leave_ = leaves_; // it may be the one who was told
    busy_ = true;
}

void Monitor::on(CoreId from, const Ping&) {
    peer(from).owes_pong = true;
}

void Monitor::on(CoreId, const Pong&) {}

void Monitor::on(CoreId from, const Suspect& message) {
    if (message.core == self_ || (message.leaves && message.core != from)) {
        ++counters_.bad_messages;
        return;
    }
    if (message.leaves) {
        stopping_.insert(message.core);
        busy_ = true;
    } else if (is_informed()) {
        report(message.core);
    } else {
        suspects_untold_.insert(message.core); // how it is has yet to be heard
    }
}

void Monitor::on(CoreId, const Cleared& message) {
    const CoreRecord& record = cores_[message.core];
    if (!is_leaving(record.state) || record.version != message.version) return;
    CoreSet& by = cleared_[message.core.raw];
    if (by.contains_all(message.by)) return;
    by.insert_all(message.by);
    owes_cleared_.insert(message.core);
    busy_ = true;
}

std::optional<Message> Monitor::next_about_failure(CoreId core) {
    Peer& there = peer(core);
    for (size_t i = 0; i < cores_.count() && !owes_cleared_.empty(); ++i) {
        const CoreId which{{static_cast<uint8_t>(i)}};
        if (!owes_cleared_.contains(which) || cores_.decider() == self_) continue;
        if (cores_.next_hop(self_, cores_.decider()) != core) continue;
        owes_cleared_.erase(which);
        if (is_leaving(cores_[which].state) && !cleared_[i].empty())
            return Cleared{which, cores_[which].version, cleared_[i]};
    }
    const bool tells = owes_leave_ || !suspects_untold_.empty();
    if (tells && core == cores_.decider_but(no_deciders())) {
        for (size_t i = 0; i < cores_.count() && !suspects_untold_.empty(); ++i) {
            const CoreId which{{static_cast<uint8_t>(i)}};
            if (!suspects_untold_.contains(which)) continue;
            suspects_untold_.erase(which);
            return Suspect{which, false};
        }
        // Its last word: it is stopped at once.
        if (silencing_.empty() && std::exchange(owes_leave_, false)) return Suspect{self_, true};
    }
    if (auto message = next_about_devices(core)) return message;
    if (std::exchange(there.owes_ping, false)) return Ping{};
    if (std::exchange(there.owes_pong, false)) return Pong{};
    return std::nullopt;
}

// -- deciding --

/// Who goes, as far as it is known here, and what is not in the records yet.
CoreSet Monitor::no_deciders() const {
    CoreSet set = suspected_;
    set.insert_all(stopping_);
    set.insert_all(silencing_);
    if (leaves_) set.insert(self_);
    return set;
}

/// Others took us for the decider, or we were it: what is not done yet, `decider` does anew.
void Monitor::hand_over_to(CoreId decider) {
    std::exchange(stopping_, {}).each([&](CoreId core) { report(core); });
    if (!cores_.is_up(decider) || no_deciders().contains(decider)) return; // nobody else is left
    owes_silence_ = {};
    std::exchange(silencing_, {}).each([&](CoreId core) { report(core); });
}

/// What was reported: here, if this core is the one that decides, or there must be a way to it.
bool Monitor::decide_pending() {
    if (!is_informed() && !suspected_.empty()) {
        // Its parent has gone before it knew of the others, who leave it out.
        kernel_.hang();
        return false;
    }
    const CoreId decider = cores_.decider_but(no_deciders());
    if (decider != self_) {
        hand_over_to(decider);
        const bool tells = owes_leave_ || !suspects_untold_.empty();
        if (tells && !need_link(decider)) ++counters_.lost_words;
        return look_after_silence();
    }
    bool any = false;
    if (is_informed()) suspects_untold_ = {};
    for (size_t i = 0; i < cores_.count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        const bool fails = suspected_.contains(core);
        if (!fails && !stopping_.contains(core)) continue;
        suspected_.erase(core);
        const bool leaves = stopping_.contains(core);
        stopping_.erase(core);
        decide(core, leaves ? CoreState::stopping : CoreState::failing);
        any = true;
    }
    // At once: nothing of theirs is taken over while one that they were starting still runs.
    any |= look_after_orphans();
    return look_after_silence() || any;
}

void Monitor::decide(CoreId core, CoreState state) {
    const CoreState before = cores_[core].state;
    if (before != CoreState::up && before != CoreState::starting) return;
    if (silencing_.contains(core)) return;
    // Before anything that it could reach is used by anybody else.
    stop(core);
    if (state != CoreState::failing) return change(core, state);
    if (!silences(core)) fails(core, has_devices_);
}

void Monitor::stop(CoreId core) {
    if (planted(Mutant::not_stopped)) return;
    if (!kernel_.stop_core(cores_[core].apic)) ++counters_.lost_words;
}

/// Those whose parent has gone get another one. Whom it was starting has nobody to say Hello to,
/// and goes with it.
bool Monitor::look_after_orphans() {
    bool any = false;
    while (const auto move = cores_.next_orphan()) {
        CoreRecord record = cores_[move->core];
        record.parent = move->parent;
        ++record.version;
        learn(move->core, record, std::nullopt);
        any = true;
    }
    for (size_t i = 0; i < cores_.count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        const CoreRecord& record = cores_[core];
        if (record.state != CoreState::starting || !is_gone(cores_[record.parent].state)) continue;
        if (silencing_.contains(core)) continue;
        decide(core, CoreState::failing);
        any = true;
    }
    return any;
}

// -- clearing up --

/// `core` has gone: nothing is told to it or heard of it any more, whoever waits for it goes on
/// without, and what it had lent goes in bounded steps (bury).
void Monitor::lost(CoreId core) {
    edges_.erase(core);
    expects_.erase(core);
    suspected_.erase(core);
    suspects_untold_.erase(core);
    stopping_.erase(core);
    silencing_.erase(core);
    owes_silence_.erase(core);
    names_.remove_all(core);
    names_.forget(core);
    owners_.forget(core);
    costs_.forget(core);
    for (CoreSet& untold : untold_cores_)
        untold.erase(core);
    link_lost(core);
    Peer& there = peer(core);
    there.owes_hello = there.owes_welcome = there.owes_names = there.owes_names_end = false;
    there.owes_ping = there.owes_pong = false;
    there.round = 0;
    there.burial.used = true;
    there.burial.owner = core;
    there.burial.range = {0, ~uint64_t{0}};
    jobs_.push_back(there.burial);
    busy_ = true;
}

/// All that `core` had lent has gone from here: whether it went on.
bool Monitor::bury(RevokeJob& job) {
    for (const RevokeJob& other : peer(job.owner).jobs)
        if (other.used) return false;
    jobs_.remove(job);
    job.used = false;
    links_.close(job.owner);
    if (is_leaving(cores_[job.owner].state)) clear(job.owner);
    look_at_edges();
    return true;
}

void Monitor::clear(CoreId core) {
    cleared_[core.raw].insert(self_);
    owes_cleared_.insert(core);
    busy_ = true;
}

/// All together: whom one of those that went had given RAM of another says so before it has cleared
/// both.
bool Monitor::all_have_cleared() const {
    const CoreSet up = cores_.up();
    for (size_t i = 0; i < cores_.count(); ++i) {
        if (!is_leaving(cores_[{{static_cast<uint8_t>(i)}}].state)) continue;
        const bool early = planted(Mutant::taken_uncleared) && cleared_[i].contains(self_);
        if (!early && !cleared_[i].contains_all(up)) return false;
    }
    return true;
}

bool Monitor::take_over_cleared() {
    if (!decides() || !all_have_cleared()) return false;
    for (size_t i = 0; i < cores_.count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        if (!is_leaving(cores_[core].state)) continue;
        take_over(core);
        return true;
    }
    return false;
}

void Monitor::take_over(CoreId core) {
    stop_unheard();
    end_doubts(core);
    inherit(core);
    const bool stops = cores_[core].state == CoreState::stopping;
    change(core, stops ? CoreState::stopped : CoreState::failed);
    look_for_unheard_starts();
}

/// Those that a lost core may have started a moment before, in what was its RAM. Whom the living
/// have started is known here: they have said so before they cleared, and start nobody after that.
void Monitor::stop_unheard() {
    for (size_t i = 0; i < cores_.count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        const CoreState state = cores_[core].state;
        if (state != CoreState::up && state != CoreState::starting) stop(core);
    }
}

/// A core that owns RAM and is not there was being started by one that has gone: that it got the
/// RAM was heard, and that it starts was not.
void Monitor::look_for_unheard_starts() {
    CoreSet owners;
    owners_.each([&](const OwnerTable::Piece& piece) { owners.insert(piece.owner); });
    for (size_t i = 0; i < cores_.count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        const CoreState state = cores_[core].state;
        const bool unheard = state == CoreState::absent || is_over(state);
        if (unheard && owners.contains(core) && !unkept_.contains(core))
            fails(core, false); // loud was a life before, whose RAM is nobody's already
    }
}

/// Its RAM is this core's from now on, kept under the label core.N. What there is no place for
/// stays the lost core's, and nobody uses it before there is one (inherit_rest).
void Monitor::inherit(CoreId core) {
    constexpr uint64_t most = uint64_t{1} << 30; // a call of the CPU driver: docs/capabilities.md
    std::array<Range, Handed::most> left;
    size_t count = 0, kept = 0;
    owners_.each([&](const OwnerTable::Piece& piece) {
        if (piece.owner != core) return;
        for (uint64_t at = piece.range.base; at < piece.range.end(); at += most)
            if (count++ < left.size())
                left[count - 1] = {at, std::min(most, piece.range.end() - at)};
    });
    const size_t looked_at = std::min(count, left.size());
    while (kept < looked_at && inherit(core, left[kept]))
        ++kept;
    if (kept == count) return unkept_.erase(core);
    unkept_.insert(core);
    ++counters_.lost_words;
}

bool Monitor::inherit(CoreId core, const Range& range) {
    // It may have given some of it to a core that it was starting, which few have heard of.
    constexpr uint32_t changes_untold = 1000;
    const uint32_t than = owners_.newest(range) + changes_untold;
    if (cores_[core].loud) return owners_.assign(range, nobody, edges_, than).has_value();
    std::array<char, abi::name_bytes> text;
    const Name label = *Name::from(format_to(text, "core.{}", core.raw));
    const auto place = place_for(label);
    if (!place) return false;
    if (!owners_.assign(range, self_, edges_, than)) {
        handed_.release(**place);
        return false;
    }
    const Described ram{abi::Kind::ram, abi::all_rights, range.base, range.bytes};
    fill(**place, badge_spawn, label, ram, take_over(ram).value_or(abi::null_slot));
    return true;
}

/// There is a place again.
void Monitor::inherit_rest() {
    for (size_t i = 0; i < cores_.count() && !unkept_.empty(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        if (!unkept_.contains(core)) continue;
        if (decides() && is_over(cores_[core].state))
            inherit(core);
        else
            unkept_.erase(core);
    }
}

/// RAM that was on its way to `core`: it never arrived if it did not change its owner.
void Monitor::end_doubts(CoreId core) {
    handed_.each([&](Handed& handed) {
        if (!handed.in_doubt || handed.to != core) return;
        handed.in_doubt = false;
        // It may have been there and on other cores since, this one included.
        const Range range{handed.what.base, handed.what.bytes};
        if (owners_.newest(range) == handed.version)
            comes_back(handed);
        else
            handed_.release(handed);
    });
}

} // namespace monitor
