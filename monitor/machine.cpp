// What all monitors agree on: names and cores. Both travel along the star around the hub, each
// change from its origin by the same path, so everybody sees one origin's changes in their order.
#include <utility>

#include "monitor/monitor.hpp"

namespace monitor {

/// Who hears of names and cores from us.
CoreSet Monitor::neighbours(std::optional<CoreId> except) const {
    CoreSet set;
    for (size_t i = 0; i < max_cores; ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        const bool on_tree = self_ == hub || core == hub;
        if (on_tree && peers_[i].link == Link::open && core != except) set.insert(core);
    }
    return set;
}

Result<> Monitor::offer(uint32_t badge, std::string_view text) {
    Client& caller = *TRY(client(badge));
    const Name name = TRY(Name::from(text));
    if (!may_use(caller, name)) return fail(Err::cap_rights);
    if (names_.home_of(name)) return fail(Err::exists);
    if (names_.count_of(self_, caller.badge) >= offers_max) return fail(Err::quota);
    NameTable::Entry* const entry = TRY(names_.add(name, self_, neighbours({})));
    entry->owner = caller.badge;
    name_appeared(name);
    return {};
}

Result<> Monitor::withdraw(uint32_t badge, std::string_view text) {
    TRY_VOID(client(badge));
    const Name name = TRY(Name::from(text));
    const NameTable::Entry* const entry = names_.find(name, self_);
    if (entry == nullptr || !entry->present || entry->owner != badge) return fail(Err::not_found);
    names_.remove(name, self_, neighbours({}));
    return {};
}

void Monitor::withdraw_all(uint32_t owner) {
    for (NameTable::Entry& entry : names_.entries())
        if (entry.present && entry.home == self_ && entry.owner == owner)
            names_.remove(entry.name, self_, neighbours({}));
}

/// Of two cores that offered the same name at the same time the lower one keeps it.
void Monitor::yield_name(NameTable::Entry& entry, CoreId winner) {
    if (Client* const loser = clients_.find(entry.owner)) {
        loser->lost = winner;
        wake(*loser);
    }
    names_.remove(entry.name, self_, neighbours({}));
}

/// Those who waited for it go on. Whoever cannot is told why.
void Monitor::name_appeared(const Name& name) {
    for (Binding& binding : bindings_.all()) {
        if (binding.state != Binding::State::waiting || binding.name != name) continue;
        if (binding.news != Binding::News::none) continue;
        const auto home = names_.home_of(name);
        if (!home) return;
        if (const auto done = start(binding, *home); !done) settle(binding, done.error());
    }
}

void Monitor::on(CoreId from, const NameChange& message) {
    const bool from_tree = self_ == hub ? message.home == from : from == hub;
    if (!from_tree || message.home == self_ || !Name::from(message.name.view())) {
        ++counters_.bad_messages;
        return;
    }
    if (!message.present) {
        names_.remove(message.name, message.home, neighbours(from));
        return;
    }
    if (!names_.add(message.name, message.home, neighbours(from))) {
        ++counters_.lost_words;
        return;
    }
    NameTable::Entry* const own = names_.find(message.name, self_);
    if (own != nullptr && own->present && message.home < self_) yield_name(*own, message.home);
    name_appeared(message.name);
}

void Monitor::set_core(CoreId core, uint32_t apic) {
    cores_[core.raw].apic = apic;
    if (core == self_) cores_[core.raw].state = CoreState::up;
    core_count_ = std::max<size_t>(core_count_, core.raw + 1u);
}

Result<Core> Monitor::core_at(uint32_t index) const {
    if (index >= core_count_) return fail(Err::no_such_core);
    return cores_[index];
}

void Monitor::change_core(CoreId core, uint32_t apic, CoreState state, std::optional<CoreId> from) {
    Core& known = cores_[core.raw];
    known.apic = apic;
    known.state = state;
    core_count_ = std::max<size_t>(core_count_, core.raw + 1u);
    core_untold_[core.raw] = neighbours(from);
    for (Client& client : clients_.all()) {
        if (!client.used || !client.watches_cores) continue;
        client.changed.insert(core);
        wake(client);
    }
}

Result<> Monitor::watch_cores(uint32_t badge) {
    TRY(client(badge))->watches_cores = true;
    return {};
}

void Monitor::on(CoreId from, const CoreChange& message) {
    if (from != hub || message.core == self_ || message.state > CoreState::failed) {
        ++counters_.bad_messages;
        return;
    }
    change_core(message.core, message.apic, message.state, from);
    if (message.state == CoreState::failed && peer(message.core).link != Link::none)
        link_lost(message.core);
}

Result<Bell> Monitor::joint_make(uint32_t badge, CoreId to, CapSlot frame) {
    Described what;
    const Result<> allowed = [&]() -> Result<> {
        TRY_VOID(may_start_cores(badge));
        what = TRY(check_channel_frame(frame));
        if (self_ != hub || to == self_) return fail(Err::no_such_core);
        if (peer(to).link != Link::none) return fail(Err::exists);
        return {};
    }();
    const auto lent = allowed ? lend(to, frame, {what.base, what.bytes}, what.rights)
                              : Result<Lent*>{fail(allowed.error())};
    if (!lent) {
        drop(frame);
        return fail(lent.error());
    }
    peer(to).link_lend = lents_.number_of(**lent);
    TRY_VOID(links_.open(to, frame, true));
    peer(to).link = Link::joining;
    change_core(to, cores_[to.raw].apic, CoreState::starting, std::nullopt);
    return links_.own_bell();
}

Result<> Monitor::joint_failed(uint32_t badge, CoreId to) {
    TRY_VOID(may_start_cores(badge));
    if (peer(to).link != Link::joining) return fail(Err::bad_state);
    peer(to).link = Link::none;
    links_.close(to);
    change_core(to, cores_[to.raw].apic, CoreState::failed, std::nullopt);
    return {};
}

Result<> Monitor::join(CapSlot frame, CapSlot bell) {
    TRY_VOID(links_.open(hub, frame, false));
    links_.set_bell(hub, bell);
    peer(hub).link = Link::open;
    peer(hub).owes_hello = true;
    change_core(hub, cores_[hub.raw].apic, CoreState::up, hub);
    names_.tell_all(hub);
    ++changes_;
    return {};
}

void Monitor::on(CoreId from, const Hello& message) {
    if (message.from != from || peer(from).link != Link::joining) {
        ++counters_.bad_messages;
        return;
    }
    if (message.version != protocol_version) {
        ++counters_.other_versions;
        change_core(from, message.bell.apic, CoreState::failed, std::nullopt);
        return link_lost(from);
    }
    if (!set_peer_bell(from, message.bell)) {
        ++counters_.bad_messages;
        return;
    }
    peer(from).link = Link::open;
    peer(from).owes_welcome = true;
    change_core(from, message.bell.apic, CoreState::up, from);
    names_.tell_all(from);
    for (size_t i = 0; i < core_count_; ++i)
        if (i != from.raw) core_untold_[i].insert(from);
}

} // namespace monitor
