// Names: each travels from its home along the tree, so everybody sees one home's changes in their
// order. A link that takes the place of one that was lost begins with all names by its way.
#include <utility>

#include "monitor/monitor.hpp"

namespace monitor {

CoreSet Monitor::edges_but(CoreId core) const {
    CoreSet set = edges_;
    set.erase(core);
    return set;
}

Result<> Monitor::offer(uint32_t badge, std::string_view text) {
    Client& caller = *TRY(client(badge));
    const Name name = TRY(Name::from(text));
    if (!may_use(caller, name)) return fail(Err::cap_rights);
    if (names_.home_of(name)) return fail(Err::exists);
    if (names_.count_of(self_, caller.badge) >= offers_max) return fail(Err::quota);
    NameTable::Entry* const entry = TRY(names_.add(name, self_, edges_));
    entry->owner = caller.badge;
    name_appeared(name);
    return {};
}

Result<> Monitor::withdraw(uint32_t badge, std::string_view text) {
    TRY_VOID(client(badge));
    const Name name = TRY(Name::from(text));
    const NameTable::Entry* const entry = names_.find(name, self_);
    if (entry == nullptr || !entry->present || entry->owner != badge) return fail(Err::not_found);
    names_.remove(name, self_, edges_);
    keeper_gone();
    return {};
}

void Monitor::withdraw_all(uint32_t owner) {
    for (NameTable::Entry& entry : names_.entries())
        if (entry.present && entry.home == self_ && entry.owner == owner)
            names_.remove(entry.name, self_, edges_);
}

/// Of two cores that offered the same name at the same time the lower one keeps it.
void Monitor::yield_name(NameTable::Entry& entry, CoreId winner) {
    if (Client* const loser = clients_.find(entry.owner)) {
        loser->lost = winner;
        wake(*loser);
    }
    names_.remove(entry.name, self_, edges_);
}

/// Those who waited for it go on. Whoever cannot is told why.
void Monitor::name_appeared(const Name& name) {
    has_devices_ |= name == keeper_name;
    for (Binding& binding : bindings_.all()) {
        if (binding.state != Binding::State::waiting || binding.name != name) continue;
        if (binding.news != Binding::News::none) continue;
        const auto home = names_.home_of(name);
        if (!home) return;
        if (const auto done = start(binding, *home); !done) settle(binding, done.error());
    }
}

void Monitor::on(CoreId from, const NameChange& message) {
    if (message.home == self_ || !Name::from(message.name.view())) {
        ++counters_.bad_messages;
        return;
    }
    if (!cores_.is_up(message.home)) return; // the sender has yet to hear that it is gone
    // What comes by another way is from before the tree was mended, and may be withdrawn.
    if (cores_.next_hop(self_, message.home) != from) return;
    busy_ |= message.name == keeper_name; // who is asked to silence devices may have changed
    if (!message.present) {
        names_.remove(message.name, message.home, edges_but(from));
        return;
    }
    if (!names_.add(message.name, message.home, edges_but(from))) {
        ++counters_.lost_words;
        return;
    }
    NameTable::Entry* const own = names_.find(message.name, self_);
    if (own != nullptr && own->present && message.home < self_) yield_name(*own, message.home);
    name_appeared(message.name);
}

/// What came by this way, and is not said again, was withdrawn while there was no way.
void Monitor::on(CoreId from, const Names& message) {
    if (message.end) survey_all();
    for (NameTable::Entry& entry : names_.entries()) {
        if (!entry.used || !entry.present || entry.home == self_) continue;
        if (!message.end) {
            if (cores_.next_hop(self_, entry.home) == from) entry.stale = from;
        } else if (entry.stale == from && cores_.next_hop(self_, entry.home) == from) {
            names_.remove(entry.name, entry.home, edges_but(from));
        }
    }
    busy_ = true;
    if (!message.end || from != cores_[self_].parent || std::exchange(informed_, true)) return;
    std::exchange(suspects_untold_, {}).each([&](CoreId core) { report(core); });
    if (decides()) decider_changed();
}

} // namespace monitor
