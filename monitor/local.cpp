// Calls of the domains of this core.
#include <utility>

#include "monitor/monitor.hpp"

namespace monitor {

/// Every call begins here.
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
    if (!(*found)->news.empty() || (*found)->lost) wake(**found);
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
    Binding* const binding = caller.news.pop_front();
    if (binding == nullptr) return News{};
    News news{.binding = bindings_.number_of(*binding)};
    switch (std::exchange(binding->news, Binding::News::none)) {
    case Binding::News::incoming:
        news.notice = Notice::incoming;
        // The core in the low byte, above it the bytes of the frame.
        news.detail = uint64_t{binding->peer.raw} | binding->bytes << 8;
        news.more = std::exchange(binding->frame, abi::null_slot);
        binding->taken = true;
        break;
    case Binding::News::established:
        news.notice = Notice::established;
        news.status = binding->status;
        news.more = std::exchange(binding->bell, abi::null_slot);
        if (binding->status != Err::none) finish(*binding);
        break;
    case Binding::News::peer_gone:
        news.notice = Notice::peer_gone;
        discard(*binding);
        break;
    case Binding::News::none: INVARIANT(false, "what is on the list has news"); break;
    }
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

Result<> Monitor::client_gone(uint32_t badge, uint32_t id) {
    TRY_VOID(privileged(badge));
    Client* const gone = clients_.find(id);
    if (gone == nullptr) return fail(Err::not_found);
    withdraw_all(id);
    for (Binding& binding : bindings_.all())
        if (binding.state != Binding::State::unused && binding.owner == id) leave(binding);
    drop(gone->bell);
    drop(gone->channels);
    clients_.remove(*gone);
    return {};
}

Result<> Monitor::hand(uint32_t badge, CoreId to, std::string_view text, CapSlot what) {
    const auto described = [&]() -> Result<Described> {
        TRY_VOID(client(badge));
        const Described device = TRY(kernel_.describe(what));
        using enum abi::Kind;
        if (device.kind != device_frame && device.kind != interrupt && device.kind != io_port)
            return fail(Err::cap_type);
        if (to != self_) TRY_VOID(need_link(to));
        return device;
    }();
    const auto label = Name::from(text);
    const auto place = std::ranges::find(handed_, false, &Handed::used);
    if (!described || !label || place == handed_.end()) {
        drop(what);
        if (!described) return fail(described.error());
        return fail(label ? Fault{Err::no_space} : label.error());
    }
    if (to == self_) return keep_here(*label, what);
    // From here on nobody on this core has it: two owners would be two drivers of one device.
    TRY_VOID(kernel_.give_up(what));
    *place = {.used = true, .to = to, .label = *label, .what = *described};
    return {};
}

Result<> Monitor::keep_here(const Name& label, CapSlot what) {
    auto place = std::ranges::find_if(handed_, [&](const Handed& handed) {
        return handed.used && handed.arrived && handed.label == label;
    });
    if (place == handed_.end()) place = std::ranges::find(handed_, false, &Handed::used);
    if (place == handed_.end()) {
        drop(what);
        return fail(Err::no_space);
    }
    drop(place->slot); // handed again under the same label: the newer counts
    *place = {.used = true, .arrived = true, .to = self_, .label = label, .slot = what};
    return {};
}

Result<CapSlot> Monitor::fetch(uint32_t badge, std::string_view text) {
    TRY_VOID(privileged(badge));
    const Name label = TRY(Name::from(text));
    for (Handed& handed : handed_) {
        if (!handed.used || !handed.arrived || handed.label != label) continue;
        const CapSlot slot = handed.slot;
        handed = Handed{};
        return slot;
    }
    return fail(Err::not_found);
}

} // namespace monitor
