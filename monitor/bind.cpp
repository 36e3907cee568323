// Bindings: from a client's wish to two ends that know each other, and apart again.
#include <utility>

#include "lib/base/mutant.hpp"
#include "monitor/monitor.hpp"

namespace monitor {

Result<Described> Monitor::check_channel_frame(CapSlot frame) {
    const Described what = TRY(kernel_.describe(frame));
    if (what.kind != abi::Kind::frame) return fail(Err::cap_type);
    if (!what.rights.has(abi::read | abi::write)) return fail(Err::cap_rights);
    return what;
}

Result<uint32_t> Monitor::bind(uint32_t badge, std::string_view text, bool wait, CapSlot frame) {
    Binding* made = nullptr;
    const Result<> done = [&]() -> Result<> {
        Client& caller = *TRY(client(badge));
        const Name name = TRY(Name::from(text));
        if (!may_use(caller, name)) return fail(Err::cap_rights);
        const Described what = TRY(check_channel_frame(frame));
        if (caller.channels == abi::null_slot) return fail(Err::bad_state);
        if (caller.client_ends >= client_ends_max || caller.ends() >= bindings_.left())
            return fail(Err::quota);
        const auto home = names_.home_of(name);
        if (!home && !wait) return fail(Err::not_found);
        made = TRY(bindings_.take(Binding::State::waiting, badge));
        ++caller.client_ends;
        made->is_client = true;
        made->name = name;
        made->frame = std::exchange(frame, abi::null_slot);
        made->range = {what.base, what.bytes};
        made->rights = what.rights;
        return home ? start(*made, *home) : Result<>{};
    }();
    drop(frame);
    if (done) return bindings_.number_of(*made);
    if (made != nullptr) discard(*made);
    return fail(done.error());
}

Result<> Monitor::start(Binding& binding, CoreId home) {
    return home == self_ ? bind_here(binding) : bind_there(binding);
}

bool Monitor::may_serve(const Client& server) const {
    return server.server_ends < server_ends_max && server.ends() < bindings_.left();
}

Result<> Monitor::bind_here(Binding& binding) {
    const NameTable::Entry* const entry = names_.find(binding.name, self_);
    Client* const server = entry != nullptr ? clients_.find(entry->owner) : nullptr;
    Client* const caller = clients_.find(binding.owner);
    if (server == nullptr || caller == nullptr) return fail(Err::not_found);
    if (!may_serve(*server)) return fail(Err::busy);
    const CapSlot bell = TRY(kernel_.copy(caller->channels));
    const auto other = bindings_.take(Binding::State::offered, server->badge);
    if (!other) {
        kernel_.drop(bell);
        return fail(other.error());
    }
    Binding& end = **other;
    ++server->server_ends;
    end.name = binding.name;
    end.peer = binding.peer = self_;
    end.peer_number = bindings_.number_of(binding);
    end.frame = std::exchange(binding.frame, abi::null_slot);
    end.bell = bell;
    end.range = binding.range;
    binding.peer_number = bindings_.number_of(end);
    binding.state = Binding::State::asked;
    post(end, Binding::News::incoming);
    return {};
}

Result<> Monitor::bind_there(Binding& binding) {
    binding.peer = *names_.home_of(binding.name);
    Client* const caller = clients_.find(binding.owner);
    if (caller == nullptr) return fail(Err::peer_gone);
    TRY_VOID(vector_of(*caller));
    TRY_VOID(need_link(binding.peer));
    if (peer(binding.peer).unanswered >= credit()) return fail(Err::busy);
    // The loan and its borrower are on record before the message can leave.
    Lent& lent = *TRY(lend(binding.peer, binding.frame, binding.range, binding.rights));
    lent.of_binding = lent.in_flight = true;
    binding.lend = lents_.number_of(lent);
    drop(binding.frame);
    TRY_VOID(ask(binding.peer));
    binding.state = Binding::State::asked;
    owe(binding, &Binding::owes_bind);
    return {};
}

/// From here `binding` is told to its peer's monitor when its turn comes.
void Monitor::owe(Binding& binding, bool Binding::* what) {
    binding.*what = true;
    if (!binding.owed()) owe(static_cast<Debt&>(binding), binding.peer);
}

void Monitor::settle(Binding& binding, Fault status) {
    binding.status = status;
    if (status == Err::none)
        binding.state = Binding::State::established;
    else
        drop(binding.bell);
    post(binding, Binding::News::established);
}

Result<> Monitor::answer(uint32_t badge, uint32_t number, Fault status) {
    Client& owner = *TRY(client(badge));
    Binding& binding = *TRY(binding_of(badge, number));
    if (binding.news == Binding::News::peer_gone || binding.over) return fail(Err::peer_gone);
    if (binding.is_client || !binding.taken || binding.state != Binding::State::offered)
        return fail(Err::bad_state);
    if (binding.peer == self_) {
        answer_here(binding, owner, status);
        return {};
    }
    if (status == Err::none) TRY_VOID(vector_of(owner));
    binding.status = status;
    if (status != Err::none) disown(binding);
    binding.state = status == Err::none ? Binding::State::established : Binding::State::closed;
    owe(binding, &Binding::owes_answer);
    return {};
}

void Monitor::answer_here(Binding& binding, Client& owner, Fault status) {
    Binding* const other = bindings_.find(binding.peer_number);
    INVARIANT(other != nullptr, "the ends of a local binding go together");
    if (status == Err::none) {
        const auto bell = owner.channels != abi::null_slot ? kernel_.copy(owner.channels)
                                                           : Result<CapSlot>{fail(Err::bad_state)};
        if (bell)
            other->bell = *bell;
        else
            status = bell.error();
    }
    settle(*other, status);
    if (status == Err::none)
        binding.state = Binding::State::established;
    else
        discard(binding);
}

Result<> Monitor::unbind(uint32_t badge, uint32_t number) {
    TRY_VOID(client(badge));
    leave(*TRY(binding_of(badge, number)));
    return {};
}

/// The owner of this end has gone, or wants no more of it.
void Monitor::leave(Binding& binding) {
    using enum Binding::State;
    if (binding.state == abandoned || binding.state == closed) return;
    const Binding::State was = binding.state;
    const bool local = binding.peer == self_;
    if (was == waiting || binding.over) return discard(binding);
    if (binding.news == Binding::News::peer_gone ||
        (was == asked && binding.news == Binding::News::established))
        return finish(binding);
    if (local) {
        Binding* const other = bindings_.find(binding.peer_number);
        discard(binding);
        if (other != nullptr) peer_lost(*other);
        return;
    }
    disown(binding);
    if (was == asked && binding.owes_bind) {
        // The peer has not heard of it yet, and never will.
        forget_debts(binding);
        answered(binding, true);
        bindings_.release(binding);
        return;
    }
    if (planted(Mutant::unbind_forgotten) && !binding.is_client) {
        forget_debts(binding);
        return bindings_.release(binding);
    }
    binding.state = was == asked ? abandoned : closed;
    owe(binding, &Binding::owes_unbind);
}

/// The other end is gone: what the owner has not been told yet is overtaken by that.
void Monitor::peer_lost(Binding& binding) {
    using enum Binding::State;
    if (binding.state == closed) return; // its owner has left as well: the word crossed ours
    if (binding.news == Binding::News::peer_gone || binding.over) return;
    if (!binding.is_client && !binding.taken) return discard(binding);
    if (binding.is_client && binding.news == Binding::News::established) {
        drop(binding.bell);
        binding.status = Err::peer_gone;
        binding.state = asked; // as if it had been refused
        return;
    }
    if (binding.is_client && binding.state == asked) return settle(binding, Err::peer_gone);
    post(binding, Binding::News::peer_gone);
}

/// Takes the end away from its owner; what it holds goes.
void Monitor::disown(Binding& binding) {
    Client* const owner = clients_.find(binding.owner);
    if (owner != nullptr && binding.state != Binding::State::abandoned &&
        binding.state != Binding::State::closed) {
        if (binding.news_hook.linked()) owner->news.remove(binding);
        --(binding.is_client ? owner->client_ends : owner->server_ends);
    }
    binding.news = Binding::News::none;
    binding.arrived = false;
    drop(binding.frame);
    drop(binding.bell);
    drop_parcels(binding);
    unpin(binding);
    Borrow* const borrowed = borrows_.find(std::exchange(binding.borrow, 0));
    if (borrowed != nullptr && !borrowed->taken) give_back(*borrowed);
}

void Monitor::forget_debts(Binding& binding) {
    forgive(binding);
    binding.owes_bind = binding.owes_answer = binding.owes_unbind = false;
}

/// Its owner has heard that nothing came of it.
void Monitor::finish(Binding& binding) {
    if (!binding.owes_unbind) return discard(binding);
    disown(binding);
    binding.state = Binding::State::closed;
}

/// The end exists no more, and nobody is told.
void Monitor::discard(Binding& binding) {
    disown(binding);
    forget_debts(binding);
    bindings_.release(binding);
}

/// The monitor itself ends it: both sides hear that the peer is gone.
void Monitor::break_off(Binding& binding) {
    using enum Binding::State;
    if (binding.state != established) return;
    if (binding.peer != self_)
        owe(binding, &Binding::owes_unbind);
    else if (Binding* const other = bindings_.find(binding.peer_number))
        peer_lost(*other);
    peer_lost(binding);
}

// -- the frame of a binding is being revoked: its ends hear of it before the memory goes --

/// On the core that owns the frame, which is the client's.
void Monitor::frame_going_here(Binding& end) {
    using enum Binding::State;
    Binding* const other = end.peer == self_ ? bindings_.find(end.peer_number) : nullptr;
    if (end.news == Binding::News::established && end.state == asked) return; // refused already
    if (end.state == waiting) return settle(end, Err::revoking);
    if (end.state == asked && end.peer != self_) {
        end.doomed = true; // whatever the server answers
        return;
    }
    if (end.state == asked) settle(end, Err::revoking);
    if (end.state == established) peer_lost(end);
    if (other != nullptr) peer_lost(*other);
}

/// On the server's core. The client's monitor knows, but waits for one answer to its bind.
void Monitor::frame_going_there(Binding& end) {
    using enum Binding::State;
    if (end.state != offered && end.state != established) return;
    if (end.news == Binding::News::peer_gone || end.over) return;
    if (end.state == offered || end.owes_answer) {
        forget_debts(end);
        refuse(end.peer, end.peer_number, Err::revoking);
        end.state = established; // for its owner the peer has gone, and was answered
    }
    peer_lost(end);
}

} // namespace monitor
