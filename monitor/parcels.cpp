// Capabilities that travel beside the messages of a binding. What is this core's own it lends, what
// it has borrowed the owner lends on; between domains of one core a copy goes straight over.
#include <utility>

#include "lib/base/mutant.hpp"
#include "monitor/monitor.hpp"

namespace monitor {

// -- the sending end --

/// The other side knows an end by the number that the client's monitor gave it.
EndName Monitor::name_of(const Binding& binding) const {
    const uint32_t number = binding.is_client ? bindings_.number_of(binding) : binding.peer_number;
    return {.sender = self_, .binding = number, .from_client = binding.is_client};
}

Result<> Monitor::may_send(const Binding& binding, CoreId by_way_of) const {
    if (binding.unanswered >= parcels_max) return fail(Err::quota);
    if (peers_[by_way_of.raw].unanswered >= credit()) return fail(Err::busy);
    return {};
}

Result<> Monitor::send(uint32_t badge, uint32_t number, uint32_t token, CapSlot what) {
    const Result<> sent = [&]() -> Result<> {
        TRY_VOID(client(badge));
        Binding& binding = *TRY(binding_of(badge, number));
        if (binding.news == Binding::News::peer_gone || binding.over) return fail(Err::peer_gone);
        if (binding.state != Binding::State::established) return fail(Err::bad_state);
        const Described is = TRY(kernel_.describe(what));
        if (binding.peer == self_) return send_here(binding, token, what);
        if (is.kind == abi::Kind::doorbell) return send_bell(binding, token, what, is);
        if (is.kind != abi::Kind::frame) return fail(Err::foreign);
        return is.borrowed ? send_on(binding, token, is) : send_frame(binding, token, what, is);
    }();
    drop(what);
    return sent;
}

Result<> Monitor::send_here(Binding& binding, uint32_t token, CapSlot& what) {
    if (binding.unanswered >= parcels_max) return fail(Err::quota);
    Binding* const other = bindings_.find(binding.peer_number);
    if (other == nullptr) return fail(Err::peer_gone);
    Parcel& parcel = *TRY(parcel_for(*other, token));
    parcel.slot = std::exchange(what, abi::null_slot);
    parcel.answer = Parcel::Answer::local;
    parcel.number = bindings_.number_of(binding);
    ++binding.unanswered;
    tell_arrived(*other);
    return {};
}

Result<>
Monitor::send_frame(Binding& binding, uint32_t token, CapSlot what, const Described& frame) {
    TRY_VOID(may_send(binding, binding.peer));
    Lent& lent = *TRY(lend(binding.peer, what, Range{frame.base, frame.bytes}, frame.rights));
    TRY_VOID(ask(binding.peer));
    lent.sender_end = bindings_.number_of(binding);
    ++binding.unanswered;
    begin_lend(lent, name_of(binding), token);
    return {};
}

/// A doorbell is a hint: nobody has to know who may ring it.
Result<> Monitor::send_bell(Binding& binding, uint32_t token, CapSlot what, const Described& bell) {
    TRY_VOID(may_send(binding, binding.peer));
    const bool remote = bell.base >= abi::core_space;
    const Bell way =
        remote
            ? Bell{static_cast<uint32_t>(bell.base - abi::core_space), static_cast<uint32_t>(bell.badge)}
            : TRY(kernel_.vector_of(what));
    Lent& lent = *TRY(lents_.take());
    TRY_VOID(ask(binding.peer));
    lent.core = binding.peer;
    lent.rights = bell.rights;
    lent.bell = way;
    lent.sender_end = bindings_.number_of(binding);
    ++binding.unanswered;
    begin_lend(lent, name_of(binding), token);
    return {};
}

/// Who lends it is its owner, so that its set of borrowers stays exact.
Result<> Monitor::send_on(Binding& binding, uint32_t token, const Described& frame) {
    const CoreId owner{{static_cast<uint8_t>(frame.badge)}};
    TRY_VOID(may_send(binding, owner));
    if (peer(owner).link != Link::open) return fail(Err::core_dead);
    const Range range{frame.base, frame.bytes};
    uint32_t lend = 0;
    borrows_.each([&](const Borrow& borrow) {
        const bool meant = borrow.owner == owner && borrow.range == range && borrow.taken;
        if (meant && borrow.keeper != abi::null_slot) lend = borrow.lend;
    });
    if (lend == 0) return fail(Err::revoking);
    Relent& relent = *TRY(relents_.take());
    TRY_VOID(ask(owner));
    relent.owner = owner;
    relent.sender_end = bindings_.number_of(binding);
    const EndName name = name_of(binding);
    relent.content = {
        .number = relents_.number_of(relent),
        .to = binding.peer,
        .binding = name.binding,
        .from_client = name.from_client,
        .token = token,
        .lend = lend,
        .rights = frame.rights,
    };
    ++binding.unanswered;
    owe(relent, owner);
    return {};
}

void Monitor::sent_was_taken(uint32_t sender_end) {
    Binding* const sender = bindings_.find(sender_end);
    if (sender != nullptr && sender->unanswered > 0) --sender->unanswered;
}

/// The owner of what was sent on is gone: who waits for it at the other end hears why.
void Monitor::tell_not_lent(const Relent& relent) {
    Binding* const sender = bindings_.find(relent.sender_end);
    if (sender == nullptr || sender->peer == relent.owner) return;
    if (peer(sender->peer).link == Link::none) return;
    const auto taken = words_.take();
    if (!taken) return break_off(*sender);
    Word& word = **taken;
    word.what = Word::What::lend_failed;
    word.number = 0; // nobody is answered
    word.status = Err::core_dead;
    word.end = name_of(*sender);
    word.token = relent.content.token;
    owe(word, sender->peer);
}

void Monitor::on(CoreId from, const RelendAnswer& message) {
    Relent* const relent = relents_.find(message.number);
    if (relent == nullptr || relent->owner != from || relent->owed()) {
        ++counters_.bad_messages;
        return;
    }
    answered(from);
    sent_was_taken(relent->sender_end);
    relents_.release(*relent);
}

// -- the owner, between two borrowers --

void Monitor::on(CoreId from, const Relend& message) {
    if (const auto done = lend_on(from, message); !done) {
        const EndName name{from, message.binding, message.from_client};
        if (message.to == self_) {
            deliver_nothing(name, message.token, done.error());
        } else if (need_link(message.to)) {
            // What waits for it there has to end; then `from` is answered.
            if (const auto taken = words_.take()) {
                Word& word = **taken;
                word.what = Word::What::lend_failed;
                word.number = message.number;
                word.status = done.error();
                word.end = name;
                word.token = message.token;
                owe(word, message.to);
                return;
            }
            ++counters_.lost_words;
        }
        say(from, Word::What::relend_answer, message.number, done.error());
    }
}

Result<> Monitor::lend_on(CoreId from, const Relend& message) {
    const Lent* const by = lents_.find(message.lend);
    const bool known = by != nullptr && by->core == from && by->loan != nullptr;
    if (!known) return fail(Err::revoking); // it was; not_found is "not here yet"
    Loan* const loan = by->loan;
    if (is_revoking(loan->range)) return fail(Err::revoking);
    bool may = false; // no right grows on the way
    lents_.each([&](const Lent& lent) {
        may |= lent.loan == loan && lent.core == from && lent.rights.has(message.rights);
    });
    if (!may) return fail(Err::cap_rights);
    if (message.to == self_) return recall(from, message, *loan);
    TRY_VOID(need_link(message.to));
    if (peer(message.to).unanswered >= credit()) return fail(Err::busy);
    Lent& lent = *TRY(enter(*loan, message.to, message.rights));
    TRY_VOID(ask(message.to));
    lent.relent = true;
    lent.relender = from;
    lent.relend = message.number;
    begin_lend(lent, {from, message.binding, message.from_client}, message.token);
    return {};
}

/// It comes back to where it is from.
Result<> Monitor::recall(CoreId from, const Relend& message, const Loan& loan) {
    Binding* const end = end_named({from, message.binding, message.from_client});
    if (end == nullptr) return fail(Err::peer_gone);
    const CapSlot copy = TRY(kernel_.recall(loan.slot, message.rights));
    const auto parcel = parcel_for(*end, message.token);
    if (!parcel) {
        kernel_.drop(copy);
        return fail(parcel.error());
    }
    (*parcel)->slot = copy;
    (*parcel)->answer = Parcel::Answer::relend;
    (*parcel)->from = from;
    (*parcel)->number = message.number;
    tell_arrived(*end);
    return {};
}

// -- the receiving end --

Binding* Monitor::end_named(const EndName& name) {
    using enum Binding::State;
    const auto alive = [&](const Binding& end) {
        return end.peer == name.sender && end.is_client != name.from_client &&
               (end.state == asked || end.state == offered || end.state == established);
    };
    if (!name.from_client) {
        Binding* const end = bindings_.find(name.binding);
        return end != nullptr && alive(*end) ? end : nullptr;
    }
    for (Binding& end : bindings_.all())
        if (end.peer_number == name.binding && alive(end)) return &end;
    return nullptr;
}

/// Errors: exists, quota.
Result<Parcel*> Monitor::parcel_for(Binding& end, uint32_t token) {
    for (const Parcel& parcel : end.parcels)
        if (parcel.token == token) return fail(Err::exists);
    Client* const holder = clients_.find(end.owner);
    if (holder == nullptr) return fail(Err::peer_gone);
    if (holder->parcels >= parcels_.left()) return fail(Err::quota);
    Parcel& parcel = *TRY(parcels_.take());
    ++holder->parcels;
    parcel.end = bindings_.number_of(end);
    parcel.token = token;
    end.parcels.push_back(parcel);
    return &parcel;
}

void Monitor::on(CoreId from, const Lend& message) {
    if (message.status != Err::none)
        return deliver_nothing(message.end, message.token, message.status);
    if (const auto done = deliver(from, message); !done) {
        say(from, Word::What::lend_answer, message.lend, done.error());
        deliver_nothing(message.end, message.token, done.error());
    }
}

Result<> Monitor::deliver(CoreId from, const Lend& message) {
    Binding* const end = end_named(message.end);
    if (end == nullptr) return fail(Err::peer_gone);
    Parcel& parcel = *TRY(parcel_for(*end, message.token));
    Described what{.kind = message.kind, .rights = message.rights};
    const Result<> accepted = [&]() -> Result<> {
        if (message.kind == abi::Kind::frame) {
            what.base = message.base;
            what.bytes = message.bytes;
            what.badge = from.raw;
            Borrow& borrowed = *TRY(borrow(from, message.lend, what));
            borrowed.parcel = parcels_.number_of(parcel);
            parcel.borrow = borrows_.number_of(borrowed);
            return {};
        }
        if (message.kind != abi::Kind::doorbell) return fail(Err::cap_type);
        parcel.slot = TRY(kernel_.accept(doorbell_of(message.bell, message.rights)));
        return {};
    }();
    if (!accepted) {
        end->parcels.remove(parcel);
        release(parcel, *end);
        return accepted;
    }
    parcel.answer = Parcel::Answer::lend;
    parcel.from = from;
    parcel.number = message.lend;
    tell_arrived(*end);
    return {};
}

/// Who waits for `token` is told why it will not come. Its owner has taken so little that there is
/// no room to remember that: then the binding ends, as nobody may wait for ever.
void Monitor::deliver_nothing(const EndName& name, uint32_t token, Fault status) {
    Binding* const end = end_named(name);
    if (end == nullptr || status == Err::exists) return;
    const auto parcel = parcel_for(*end, token);
    if (!parcel && parcel.error().top() == Err::exists) return; // it did come
    if (!parcel) return break_off(*end);
    (*parcel)->status = status;
    tell_arrived(*end);
}

Result<CapSlot> Monitor::receive(uint32_t badge, uint32_t number, uint32_t token) {
    TRY_VOID(client(badge));
    Binding& end = *TRY(binding_of(badge, number));
    for (Parcel& parcel : end.parcels) {
        if (parcel.token != token) continue;
        Result<CapSlot> got = fail(parcel.status);
        if (Borrow* const borrowed = borrows_.find(parcel.borrow))
            got = TRY(give_out(*borrowed)); // without room for it now, it stays
        else if (parcel.slot != abi::null_slot && kernel_.describe(parcel.slot))
            got = std::exchange(parcel.slot, abi::null_slot);
        else if (parcel.status == Err::none)
            got = fail(Err::revoking); // here, while it waited
        answer_parcel(parcel, Err::none);
        end.parcels.remove(parcel);
        drop(parcel.slot);
        release(parcel, end);
        return got;
    }
    if (end.news == Binding::News::peer_gone || end.over) return fail(Err::peer_gone);
    end.awaited = true;
    return fail(Err::not_found);
}

void Monitor::release(Parcel& parcel, const Binding& end) {
    Client* const holder = clients_.find(end.owner);
    if (holder != nullptr && holder->parcels > 0) --holder->parcels;
    parcels_.release(parcel);
}

/// `status` none: it was taken. Else it never will be, and nothing of it is left.
void Monitor::answer_parcel(Parcel& parcel, Fault status) {
    switch (std::exchange(parcel.answer, Parcel::Answer::none)) {
    case Parcel::Answer::local: return sent_was_taken(parcel.number);
    case Parcel::Answer::lend:
        return say(parcel.from, Word::What::lend_answer, parcel.number, status);
    case Parcel::Answer::relend:
        return say(parcel.from, Word::What::relend_answer, parcel.number, status);
    case Parcel::Answer::none: return;
    }
}

void Monitor::drop_parcels(Binding& binding) {
    while (Parcel* const parcel = binding.parcels.pop_front()) {
        drop(parcel->slot);
        if (Borrow* const borrowed = borrows_.find(parcel->borrow)) forget(*borrowed);
        if (!planted(Mutant::parcels_of_the_dead)) answer_parcel(*parcel, Err::peer_gone);
        release(*parcel, binding);
    }
    binding.awaited = false;
}

} // namespace monitor
