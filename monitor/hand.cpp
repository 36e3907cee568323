// Capabilities that move to another core for good: devices, and RAM in whole blocks of 2 MiB. Until
// the other side has answered the giver remembers, and what cannot arrive is the giver's again.
#include <utility>

#include "lib/base/mutant.hpp"
#include "monitor/monitor.hpp"

namespace monitor {

/// RAM that was somebody's quota would stay a Loan there for ever, so that only who moves RAM for
/// the core may hand it; a device's label stands for what a driver is started with.
Result<> Monitor::may_hand(uint32_t badge, const Name& label, abi::Kind kind) {
    using enum abi::Kind;
    const Client& giver = *TRY(client(badge));
    if (kind == ram) {
        TRY_VOID(privileged(badge));
        return {};
    }
    if (kind != device_frame && kind != interrupt && kind != io_port) return fail(Err::cap_type);
    if (is_trusted(giver) && !is_of_ram(label)) return {};
    ++counters_.refused_calls;
    return fail(Err::cap_rights);
}

Result<> Monitor::hand(uint32_t badge, CoreId to, std::string_view text, CapSlot what) {
    const Result<> handed = [&]() -> Result<> {
        const Name label = TRY(Name::from(text));
        const Described is = TRY(kernel_.describe(what));
        TRY_VOID(may_hand(badge, label, is.kind));
        if (to == self_) return keep_here(badge, label, std::exchange(what, abi::null_slot));
        TRY_VOID(need_link(to));
        if (peer(to).unanswered >= credit()) return fail(Err::busy);
        Handed& place = *TRY(handed_.take());
        place.giver = badge;
        place.to = to;
        place.label = label;
        place.what = is;
        if (const auto left = leave_core(place, what); !left) {
            handed_.release(place);
            return left;
        }
        TRY_VOID(ask(to));
        owe(place, to);
        return {};
    }();
    drop(what);
    return handed;
}

/// From here on nobody on this core has it: two owners would be two drivers of one device.
Result<> Monitor::leave_core(Handed& handed, CapSlot& what) {
    if (handed.what.kind != abi::Kind::ram) {
        TRY_VOID(kernel_.give_up(what));
        what = abi::null_slot;
        return {};
    }
    if (planted(Mutant::ram_not_given_up)) return {};
    return leave_for_good(what, [&](CapSlot ram) { return kernel_.give(ram); });
}

/// RAM that `leave` has another core own. The Loan that may stand for it is kept here.
template <class Leave>
Result<> Monitor::leave_for_good(CapSlot& ram, Leave&& leave) {
    const auto place = std::ranges::find(given_, false, &Given::used);
    if (place == given_.end()) return fail(Err::no_space);
    const Described what = TRY(kernel_.describe(ram));
    const bool leaves_loan = TRY(leave(ram));
    const CapSlot loan = std::exchange(ram, abi::null_slot);
    if (leaves_loan) *place = {.used = true, .loan = loan, .range = {what.base, what.bytes}};
    return {};
}

/// RAM with which a core starts. What this core was given when it started itself it may give on
/// when it has heard whose it is: else its word about that would be older than others'.
template <class Leave>
Result<> Monitor::give_with_joint(uint32_t badge, CoreId to, CapSlot& ram, Leave&& leave) {
    const Result<> given = [&]() -> Result<> {
        TRY_VOID(may_start_cores(badge));
        if (peer(to).link != Link::joining) return fail(Err::bad_state);
        const Described what = TRY(kernel_.describe(ram));
        const Range range{what.base, what.bytes};
        if (owners_.owner_of(range) != self_) return fail(Err::busy);
        if (!owners_.has_room()) return fail(Err::no_space);
        TRY_VOID(leave_for_good(ram, leave));
        return owners_.assign(range, to, edges_);
    }();
    drop(ram);
    return given;
}

Result<> Monitor::joint_give(uint32_t badge, CoreId to, CapSlot ram) {
    return give_with_joint(badge, to, ram, [&](CapSlot piece) { return kernel_.give(piece); });
}

Result<> Monitor::joint_start(uint32_t badge, CoreId to, uint32_t start_page, CapSlot ram) {
    return give_with_joint(badge, to, ram, [&](CapSlot first) {
        return kernel_.start_core(cores_[to].apic, first, start_page);
    });
}

/// The other way round: what a peer gave up, or what comes back, maybe in pieces.
Result<CapSlot> Monitor::take_over(const Described& what) {
    const Range range{what.base, what.bytes};
    for (Given& given : given_) {
        if (what.kind != abi::Kind::ram || !given.used || !given.range.contains(range)) continue;
        Given& piece = *TRY(cut_out(given, range));
        TRY_VOID(kernel_.regain(piece.loan));
        return std::exchange(piece, Given{}).loan;
    }
    return kernel_.accept(what);
}

/// A Loan for `range` alone, which is part of `given`. Errors: no_space, no_slots.
Result<Monitor::Given*> Monitor::cut_out(Given& given, const Range& range) {
    Given* piece = &given;
    if (range.base > piece->range.base) piece = TRY(split(*piece, range.base - piece->range.base));
    if (range.end() < piece->range.end()) TRY(split(*piece, range.bytes));
    return piece;
}

/// What is behind `offset`.
Result<Monitor::Given*> Monitor::split(Given& given, uint64_t offset) {
    const auto place = std::ranges::find(given_, false, &Given::used);
    if (place == given_.end()) return fail(Err::no_space);
    const CapSlot rest = TRY(kernel_.split(given.loan, offset));
    const Range behind{given.range.base + offset, given.range.bytes - offset};
    *place = {.used = true, .loan = rest, .range = behind};
    given.range.bytes = offset;
    return &*place;
}

/// Of what is kept, the newer counts. Errors: no_space.
Result<Monitor::Handed*> Monitor::place_for(const Name& label) {
    Handed* place = nullptr;
    handed_.each([&](Handed& handed) {
        if (handed.arrived && handed.label == label) place = &handed;
    });
    // RAM is never dropped: nobody would own it.
    if (place == nullptr || place->what.kind == abi::Kind::ram) place = TRY(handed_.take());
    return place;
}

Result<> Monitor::keep_here(uint32_t giver, const Name& label, CapSlot what) {
    const auto is = kernel_.describe(what);
    const auto place = is ? place_for(label) : Result<Handed*>{fail(is.error())};
    if (!place) {
        drop(what);
        return fail(place.error());
    }
    drop((*place)->slot);
    fill(**place, giver, label, *is, what);
    return {};
}

void Monitor::fill(
    Handed& place, uint32_t giver, const Name& label, const Described& what, CapSlot slot
) {
    place.arrived = true;
    place.giver = giver;
    place.to = self_;
    place.label = label;
    place.what = what;
    place.slot = slot;
    tell_handed();
}

void Monitor::on(CoreId from, const Hand& message) {
    const auto kept = keep(message);
    say(from, Word::What::hand_answer, message.number, kept ? Fault{Err::none} : kept.error());
}

Result<> Monitor::keep(const Hand& message) {
    // First: what was taken and cannot be told of would be the giver's as well.
    const bool moves = message.kind == abi::Kind::ram;
    if (moves && !owners_.has_room(OwnerTable::kept_for_others)) return fail(Err::no_space);
    const Described what{
        .kind = message.kind,
        .rights = message.rights,
        .base = message.base,
        .bytes = message.bytes,
    };
    const Name label = TRY(Name::from(message.label.view()));
    Handed& place = *TRY(place_for(label));
    const auto slot = take_over(what);
    if (!slot) {
        if (!place.arrived) handed_.release(place);
        return fail(slot.error());
    }
    drop(place.slot);
    fill(place, badge_spawn, label, what, *slot);
    // Who has taken it says so: RAM on its way is the giver's.
    if (what.kind == abi::Kind::ram)
        TRY_VOID(owners_.assign({what.base, what.bytes}, self_, edges_, message.version));
    return {};
}

void Monitor::on(CoreId from, const HandAnswer& message) {
    Handed* const handed = handed_.find(message.number);
    const bool waits = handed != nullptr && !handed->arrived && !handed->in_doubt;
    if (!waits || handed->to != from || handed->owed()) {
        ++counters_.bad_messages;
        return;
    }
    answered(from);
    if (message.status != Err::none) return comes_back(*handed);
    // Here as well, if the receiver is lost before anybody heard it from there.
    const Range range{handed->what.base, handed->what.bytes};
    const bool moved = handed->what.kind == abi::Kind::ram && !planted(Mutant::arrival_unsaid);
    if (moved && !owners_.learn(range, from, handed->version + 1, edges_)) ++counters_.lost_words;
    handed_.release(*handed);
}

/// The other core does not have it: it is ours again, under the same label.
void Monitor::comes_back(Handed& handed) {
    const auto slot = take_over(handed.what);
    if (slot && clients_.find(handed.giver) == nullptr) {
        drop(handed.slot = *slot);
        return handed_.release(handed);
    }
    fill(handed, handed.giver, handed.label, handed.what, slot.value_or(abi::null_slot));
}

/// A client has gone: what it handed here and nobody has fetched goes with it.
void Monitor::forget_handed(uint32_t giver) {
    handed_.each([&](Handed& handed) {
        if (!handed.arrived || handed.giver != giver) return;
        drop(handed.slot);
        handed_.release(handed);
    });
}

/// Whoever waits looks for his label again; few wait, and not often.
void Monitor::tell_handed() {
    for (Client& client : clients_.all()) {
        if (!client.used || !std::exchange(client.awaits_handed, false)) continue;
        client.handed = true;
        wake(client);
    }
}

/// RAM of a lost core for whose windows there was no room may have room now.
bool Monitor::is_here(Handed& handed) {
    if (handed.slot == abi::null_slot)
        handed.slot = take_over(handed.what).value_or(abi::null_slot);
    return handed.slot != abi::null_slot;
}

Result<CapSlot> Monitor::fetch(uint32_t badge, std::string_view text) {
    if (text.starts_with("core."))
        TRY_VOID(may_start_cores(badge));
    else
        TRY_VOID(privileged(badge));
    const Name label = TRY(Name::from(text));
    Handed* found = nullptr;
    handed_.each([&](Handed& handed) {
        const bool meant = handed.arrived && !handed.in_doubt && handed.label == label;
        if (meant && is_here(handed)) found = &handed;
    });
    if (found == nullptr) {
        clients_.find(badge)->awaits_handed = true;
        return fail(Err::not_found);
    }
    const CapSlot slot = found->slot;
    handed_.release(*found);
    inherit_rest();
    return slot;
}

} // namespace monitor
