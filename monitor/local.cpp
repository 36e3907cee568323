// Calls of the domains of this core.
#include <utility>

#include "lib/base/mutant.hpp"
#include "monitor/monitor.hpp"

namespace monitor {

/// Every call begins here but those that only tell what anybody may know: names, costs, cores.
Result<Client*> Monitor::client(uint32_t badge) {
    ++changes_;
    if (Client* const known = clients_.find(badge)) return known;
    // init and spawn are there before anybody could announce them.
    if (badge < badges_of_init) return clients_.add(badge, Name{});
    ++counters_.refused_calls;
    return fail(Err::peer_gone);
}

Result<Client*> Monitor::privileged(uint32_t badge) {
    if (badge == badge_init || badge == badge_spawn) return client(badge);
    ++counters_.refused_calls;
    return fail(Err::cap_rights);
}

/// Core boot, whom the spawner named after its image of the bundle.
Result<> Monitor::may_start_cores(uint32_t badge) {
    if (TRY(client(badge))->name.view() == "coreboot") return {};
    TRY_VOID(privileged(badge));
    return {};
}

Result<Binding*> Monitor::binding_of(uint32_t badge, uint32_t number) {
    Binding* const binding = bindings_.find(number);
    using enum Binding::State;
    const bool alive = binding != nullptr && binding->owner == badge &&
                       binding->state != abandoned && binding->state != closed;
    if (!alive) return fail(Err::not_found);
    return binding;
}

void Monitor::drop(CapSlot& slot) {
    if (slot == abi::null_slot) return;
    kernel_.drop(std::exchange(slot, abi::null_slot));
}

void Monitor::wake(const Client& client) {
    if (client.bell != abi::null_slot) kernel_.ring(client.bell);
}

void Monitor::post(Binding& binding, Binding::News news) {
    Client* const owner = clients_.find(binding.owner);
    INVARIANT(owner != nullptr, "an end without an owner is abandoned or closed");
    binding.news = news;
    if (!binding.news_hook.linked()) owner->news.push_back(binding);
    wake(*owner);
}

/// A capability is there that was asked for in vain.
void Monitor::tell_arrived(Binding& binding) {
    Client* const owner = clients_.find(binding.owner);
    if (owner == nullptr || !std::exchange(binding.awaited, false)) return;
    if (planted(Mutant::arrival_untold)) return;
    binding.arrived = true;
    if (!binding.news_hook.linked()) owner->news.push_back(binding);
    wake(*owner);
}

Result<> Monitor::take_bell_slot(CapSlot& where, CapSlot bell) {
    const auto what = kernel_.describe(bell);
    if (!what || what->kind != abi::Kind::doorbell || !what->rights.has(abi::write)) {
        drop(bell);
        return fail(Err::cap_type);
    }
    drop(where);
    where = bell;
    return {};
}

Result<uint32_t> Monitor::attach(uint32_t badge, CapSlot bell) {
    const auto found = client(badge);
    if (!found) {
        drop(bell);
        return fail(found.error());
    }
    TRY_VOID(take_bell_slot((*found)->bell, bell));
    if ((*found)->has_news()) wake(**found);
    return badge;
}

Result<> Monitor::attach_channels(uint32_t badge, CapSlot bell) {
    const auto found = client(badge);
    if (!found) {
        drop(bell);
        return fail(found.error());
    }
    (*found)->vector.reset();
    return take_bell_slot((*found)->channels, bell);
}

Result<Bell> Monitor::vector_of(Client& client) {
    if (client.channels == abi::null_slot) return fail(Err::bad_state);
    if (!client.vector) client.vector = TRY(kernel_.vector_of(client.channels));
    return *client.vector;
}

Result<News> Monitor::next(uint32_t badge) {
    Client& caller = *TRY(client(badge));
    if (caller.lost) {
        const CoreId winner = *std::exchange(caller.lost, std::nullopt);
        return News{.notice = Notice::withdrawn, .status = Err::exists, .detail = winner.raw};
    }
    if (!caller.changed.empty()) {
        const CoreId core = caller.changed.first();
        caller.changed.erase(core);
        return News{.notice = Notice::core_changed, .detail = core.raw};
    }
    if (!caller.silences.empty()) {
        const CoreId core = caller.silences.first();
        caller.silences.erase(core);
        return News{.notice = Notice::silence, .detail = core.raw};
    }
    if (std::exchange(caller.handed, false)) return News{.notice = Notice::handed};
    if (Revocation* const done = caller.done.pop_front()) {
        --caller.revocations;
        if (!kernel_.describe(done->what)) drop(done->what); // somebody's larger revoke took it
        const News news{
            .notice = Notice::revoked,
            .binding = revocations_.number_of(*done),
            .status = done->status,
            .more = done->what,
        };
        revocations_.release(*done);
        return news;
    }
    while (Binding* const binding = caller.news.pop_front()) {
        const bool incoming = binding->news == Binding::News::incoming;
        if (!incoming || has_frame(*binding)) return news_of(*binding);
        refuse_unseen(*binding, Err::revoking);
    }
    return News{};
}

/// A client may revoke its frame while the server has yet to look.
bool Monitor::has_frame(Binding& end) {
    if (Borrow* const borrowed = borrows_.find(end.borrow))
        end.frame = give_out(*borrowed).value_or(abi::null_slot);
    return end.frame != abi::null_slot && kernel_.describe(end.frame);
}

/// Its owner never hears of this bind, but who asked does.
void Monitor::refuse_unseen(Binding& end, Fault status) {
    if (end.peer != self_) {
        end.status = status;
        disown(end);
        end.state = Binding::State::closed;
        return owe(end, &Binding::owes_answer);
    }
    Binding* const other = bindings_.find(end.peer_number);
    INVARIANT(other != nullptr, "the ends of a local binding go together");
    discard(end);
    settle(*other, status);
}

News Monitor::news_of(Binding& binding) {
    News news{.binding = bindings_.number_of(binding)};
    switch (std::exchange(binding.news, Binding::News::none)) {
    case Binding::News::incoming: {
        news.notice = Notice::incoming;
        // The core in the low byte, above it the bytes of the frame.
        news.detail = uint64_t{binding.peer.raw} | binding.range.bytes << 8;
        news.more = std::exchange(binding.frame, abi::null_slot);
        binding.taken = true;
        break;
    }
    case Binding::News::established:
        news.notice = Notice::established;
        news.status = binding.status;
        if (binding.bell != abi::null_slot && !kernel_.describe(binding.bell)) drop(binding.bell);
        news.more = std::exchange(binding.bell, abi::null_slot);
        if (binding.status != Err::none) {
            finish(binding);
            return news;
        }
        break;
    case Binding::News::peer_gone:
        news.notice = Notice::peer_gone;
        binding.over = binding.pinned; // then the owner has still to say that no device is left
        if (!binding.over) finish(binding);
        return news;
    case Binding::News::none:
        news.notice = Notice::capability;
        binding.arrived = false;
        break;
    }
    if (binding.arrived) clients_.find(binding.owner)->news.push_back(binding);
    return news;
}

Result<CapSlot> Monitor::take_bell(uint32_t badge, uint32_t number) {
    Binding& binding = *TRY(binding_of(badge, number));
    if (binding.is_client || !binding.taken) return fail(Err::bad_state);
    if (binding.bell == abi::null_slot) return fail(Err::cap_empty);
    return std::exchange(binding.bell, abi::null_slot);
}

Result<Name> Monitor::asked_name(uint32_t badge, uint32_t number) {
    return TRY(binding_of(badge, number))->name;
}

Result<CapSlot> Monitor::new_client(uint32_t badge, uint32_t id, std::string_view text) {
    TRY_VOID(privileged(badge));
    if (id == badge_init || id == badge_spawn) return fail(Err::bad_argument);
    const Name name = TRY(Name::from(text));
    Client* const added = TRY(clients_.add(id, name));
    const auto endpoint = kernel_.endpoint(id);
    if (!endpoint) clients_.remove(*added);
    return endpoint;
}

Result<> Monitor::trust(uint32_t badge, uint32_t id) {
    TRY_VOID(privileged(badge));
    Client* const known = clients_.find(id);
    if (known == nullptr) return fail(Err::not_found);
    known->trusted = true;
    return {};
}

Result<> Monitor::client_gone(uint32_t badge, uint32_t id) {
    TRY_VOID(privileged(badge));
    Client* const gone = clients_.find(id);
    if (gone == nullptr) return fail(Err::not_found);
    if (!planted(Mutant::names_of_the_dead)) withdraw_all(id);
    for (Binding& binding : bindings_.all())
        if (binding.state != Binding::State::unused && binding.owner == id) leave(binding);
    // What it asked for goes on without it.
    revocations_.each([&](Revocation& revocation) {
        if (revocation.caller != id) return;
        revocation.caller.reset();
        if (revocation.state != Revocation::State::done) return;
        gone->done.remove(revocation);
        drop(revocation.what);
        revocations_.release(revocation);
    });
    forget_handed(id);
    drop(gone->bell);
    drop(gone->channels);
    clients_.remove(*gone);
    keeper_gone();
    return {};
}

} // namespace monitor
