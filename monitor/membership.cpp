// Which cores there are, how they are joined to a tree, and who owns which RAM: all monitors agree,
// because of two words about the same thing the later version counts.
#include <utility>

#include "monitor/monitor.hpp"

namespace monitor {

void Monitor::set_core(CoreId core, uint32_t apic, uint8_t node) {
    cores_.set_apic(core, apic);
    costs_.set_node(core, node);
    if (core == self_)
        cores_.set(core, {.apic = apic, .state = CoreState::up, .parent = core, .version = 1});
}

Result<> Monitor::open_doorstep() {
    doorstep_ = TRY(links_.doorstep());
    CoreRecord own = cores_[self_];
    own.doorstep = doorstep_;
    own.vector = links_.own_bell().vector;
    cores_.set(self_, own);
    return {};
}

Result<Core> Monitor::core_at(uint32_t index) const {
    if (index >= cores_.count()) return fail(Err::no_such_core);
    const CoreRecord& core = cores_[{{static_cast<uint8_t>(index)}}];
    return Core{core.apic, core.state, core.parent, messages_[index]};
}

// -- what is known --

void Monitor::learn(CoreId core, const CoreRecord& record, std::optional<CoreId> from) {
    if (core == self_ && is_gone(record.state)) return; // it is stopped in a moment
    const auto [before, parent] = std::pair{cores_[core].state, cores_[core].parent};
    const CoreId decider = cores_.decider();
    if (!cores_.learn(core, record)) return;
    tell_of(core, from ? edges_but(*from) : edges_);
    // With a link: a life of which no record came is over as well.
    if (is_gone(record.state) && (!is_gone(before) || peer(core).link != Link::none)) lost(core);
    if (is_leaving(record.state)) {
        cleared_[core.raw] = {}; // of an older version it may have been
        if (!peer(core).burial.used) clear(core);
    }
    const bool began_anew = is_leaving(before) && !is_gone(record.state);
    if (is_over(record.state) || began_anew) end_doubts(core);
    if (record.state == CoreState::starting)
        if (const auto place = costs_.place_of(core)) links_.write_lines_for(*place);
    const bool is_near = core == self_ || core == cores_[self_].parent || parent == self_ ||
                         record.parent == self_ || edges_.contains(core);
    if (is_near || edges_missing_) look_at_edges();
    tell_watchers(core);
    if (cores_.decider() != decider) decider_changed();
}

/// Another core decides from now on: it has to hear what the last one may not have done.
void Monitor::decider_changed() {
    busy_ = true;
    suspects_untold_ = suspected_;
    owes_leave_ = leaves_;
    for (size_t i = 0; i < cores_.count(); ++i) {
        const CoreId other{{static_cast<uint8_t>(i)}};
        if (!is_leaving(cores_[other].state)) continue;
        owes_cleared_.insert(other);
        if (decides()) change(other, cores_[other].state);
    }
}

/// `peers`, and nobody else, have yet to hear how `core` is.
void Monitor::tell_of(CoreId core, const CoreSet& peers) {
    untold_cores_[core.raw] = peers;
    heard_cores_.news(core.raw, peers);
}

void Monitor::tell_watchers(CoreId core) {
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

/// A change that this core makes.
void Monitor::change(CoreId core, CoreState state) {
    CoreRecord record = cores_[core];
    record.state = state;
    ++record.version;
    learn(core, record, std::nullopt);
}

void Monitor::on(CoreId from, const CoreChange& message) {
    if (message.state > CoreState::stopped || message.version == 0) {
        ++counters_.bad_messages;
        return;
    }
    learn(
        message.core,
        {message.apic,
         message.state,
         message.parent,
         message.version,
         message.vector,
         message.doorstep,
         message.loud},
        from
    );
}

void Monitor::on(CoreId from, const OwnerChange& message) {
    const bool sane = message.bytes != 0 && message.base + message.bytes > message.base;
    if (!sane) {
        ++counters_.bad_messages;
        return;
    }
    const Range range{message.base, message.bytes};
    if (!owners_.learn(range, message.owner, message.version, edges_but(from)))
        ++counters_.lost_words;
}

// -- the tree --

/// Whoever is a neighbour by the records becomes one: with a link, and hears all there is to know.
void Monitor::look_at_edges() {
    const CoreSet wanted = cores_.neighbours(self_);
    edges_missing_ = false;
    for (size_t i = 0; i < cores_.count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        if (!wanted.contains(core)) {
            edges_.erase(core);
            continue;
        }
        if (edges_.contains(core)) continue;
        if (peer(core).link == Link::open) {
            edges_.insert(core);
            sync(core);
            continue;
        }
        edges_missing_ = true;
        if (!need_link(core)) ++counters_.lost_words;
    }
}

void Monitor::sync(CoreId core) {
    for (size_t i = 0; i < cores_.count(); ++i) {
        const CoreId which{{static_cast<uint8_t>(i)}};
        if (cores_[which].version != 0) untold_cores_[i].insert(core);
        // Who was to pass it on may have gone with it.
        if (is_leaving(cores_[which].state)) owes_cleared_.insert(which);
    }
    heard_cores_.all_below(core) = 0;
    owners_.tell_all(core);
    costs_.tell_all(core);
    names_.tell_all(core);
    peer(core).owes_names = peer(core).owes_names_end = true;
}

/// Whose RAM it is before how its core is; that a core is there before its names.
std::optional<Message> Monitor::next_on_tree(CoreId core) {
    if (const OwnerTable::Piece* const piece = owners_.next_untold(core))
        return OwnerChange{piece->range.base, piece->range.bytes, piece->owner, piece->version};
    for (size_t& i = heard_cores_.all_below(core); i < cores_.count(); ++i) {
        if (!untold_cores_[i].contains(core)) continue;
        untold_cores_[i].erase(core);
        const CoreId which{{static_cast<uint8_t>(i)}};
        const CoreRecord& r = cores_[which];
        return CoreChange{
            which, r.parent, r.state, r.version, r.apic, r.vector, r.doorstep, r.loud
        };
    }
    if (std::exchange(peer(core).owes_names, false)) return Names{.end = false};
    if (const NameTable::Entry* const entry = names_.next_untold(core))
        return NameChange{entry->name, entry->home, entry->present};
    if (std::exchange(peer(core).owes_names_end, false)) return Names{.end = true};
    if (const auto row = costs_.next_untold(core)) return *row;
    return std::nullopt;
}

// -- a core that joins --

Result<Bell> Monitor::joint_make(uint32_t badge, CoreId to, CapSlot frame) {
    Described what;
    const Result<> allowed = [&]() -> Result<> {
        TRY_VOID(may_start_cores(badge));
        what = TRY(check_channel_frame(frame));
        if (to == self_ || !cores_.is_known(to)) return fail(Err::no_such_core);
        const CoreState state = cores_[to].state;
        const bool free = state == CoreState::absent || is_over(state);
        if (!free) return fail(Err::exists);
        // Who has cleared has said of all whom it starts (stop_unheard).
        if (cores_.any_leaving()) return fail(Err::busy);
        if (peer(to).burial.used || peer(to).link != Link::none) return fail(Err::exists);
        return {};
    }();
    const auto lent = allowed ? lend(to, frame, {what.base, what.bytes}, what.rights)
                              : Result<Lent*>{fail(allowed.error())};
    if (!lent) {
        drop(frame);
        return fail(lent.error());
    }
    peer(to).link_lend = lents_.number_of(**lent);
    if (const auto opened = links_.open(to, frame, true); !opened) {
        end_lend(std::exchange(peer(to).link_lend, 0), Err::none);
        drop(frame);
        return fail(opened.error());
    }
    peer(to).link = Link::joining;
    CoreRecord record = cores_[to];
    record.state = CoreState::starting;
    record.loud = false;
    record.parent = self_;
    ++record.version;
    learn(to, record, std::nullopt);
    return links_.own_bell();
}

Result<> Monitor::joint_failed(uint32_t badge, CoreId to) {
    TRY_VOID(may_start_cores(badge));
    if (peer(to).link != Link::joining) return fail(Err::bad_state);
    report(to);
    return {};
}

Result<> Monitor::join(CoreId parent, CapSlot frame, CapSlot bell) {
    TRY_VOID(links_.open(parent, frame, false));
    links_.set_bell(parent, bell);
    peer(parent).link = Link::open;
    peer(parent).owes_hello = true;
    CoreRecord own = cores_[self_];
    own.parent = parent;
    own.version = 0; // Welcome says
    informed_ = false;
    cores_.set(self_, own);
    learn(parent, {.apic = cores_[parent].apic, .state = CoreState::up, .parent = parent}, parent);
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
        return report(from);
    }
    if (!set_peer_bell(from, message.bell)) {
        ++counters_.bad_messages;
        return;
    }
    peer(from).link = Link::open;
    peer(from).owes_welcome = true;
    CoreRecord record = cores_[from];
    record.apic = message.bell.apic;
    record.vector = message.bell.vector;
    record.doorstep = message.doorstep;
    record.state = CoreState::up;
    ++record.version;
    learn(from, record, from);
}

void Monitor::on(CoreId from, const Welcome& message) {
    Peer& there = peer(from);
    const bool joins = cores_[self_].version == 0 && cores_[self_].parent == from;
    if (message.from != from || (there.link != Link::introducing && !joins)) {
        ++counters_.bad_messages;
        return;
    }
    if (message.version != protocol_version) {
        ++counters_.other_versions;
        return report(from);
    }
    if (joins) {
        CoreRecord own = cores_[self_];
        own.version = message.life;
        cores_.set(self_, own);
        // Whoever has joined us meanwhile was not told of us: there was no version yet.
        tell_of(self_, edges_but(from));
    }
    if (there.link == Link::introducing && set_peer_bell(from, message.bell))
        there.link = Link::open;
    look_at_edges();
}

// -- two that have no link --

/// A link to `core` exists, or is on its way: a frame is lent, and we knock.
Result<> Monitor::need_link(CoreId core) {
    Peer& there = peer(core);
    if (there.link == Link::open || there.link == Link::introducing) return {};
    if (!cores_.is_known(core)) return fail(Err::no_such_core);
    const CoreRecord& record = cores_[core];
    const bool ready = record.state == CoreState::up && record.doorstep.raw != 0;
    if (!ready || there.link == Link::joining || there.burial.used) return fail(Err::core_dead);
    const LinkFrame frame = TRY(links_.make_frame());
    const Range range{frame.base.raw, frame.bytes};
    const auto lent = lend(core, frame.slot, range, abi::read | abi::write);
    if (!lent) {
        links_.drop_frame(frame);
        return fail(lent.error());
    }
    there.link_lend = lents_.number_of(**lent);
    const Knock knock{cores_[self_].version, frame.base, frame.bytes, links_.own_bell()};
    const Bell bell{record.apic, record.vector};
    if (const auto opened = links_.open(core, frame.slot, true); !opened) {
        end_lend(std::exchange(there.link_lend, 0), Err::none);
        links_.drop_frame(frame);
        return opened;
    }
    if (const auto done = links_.knock(core, record.doorstep, bell, knock); !done) {
        drop_own_link(core);
        return done;
    }
    there.link = Link::introducing;
    expect(core);
    return {};
}

/// The peer has not taken our frame, and never will.
void Monitor::drop_own_link(CoreId core) {
    end_lend(std::exchange(peer(core).link_lend, 0), Err::none);
    links_.close(core);
    peer(core).link = Link::none;
}

void Monitor::knocked(CoreId from, const Knock& knock) {
    ++changes_;
    const bool of_the_past = knock.life <= cores_.end_of_last_life(from);
    if (from == self_ || of_the_past) return;
    if (!introduced(from, knock)) ++counters_.bad_messages;
}

/// Both may have begun at the same time: then the lower core's frame is taken, by both.
Result<> Monitor::introduced(CoreId from, const Knock& knock) {
    Peer& there = peer(from);
    const bool ours_counts = self_ < from;
    if (there.link == Link::introducing && ours_counts) return {};
    if (there.link == Link::open) return ours_counts ? Result<>{} : fail(Err::exists);
    CapSlot frame = TRY(kernel_.accept({
        .kind = abi::Kind::frame,
        .rights = abi::read | abi::write,
        .base = knock.base.raw,
        .bytes = knock.bytes,
        .badge = from.raw,
    }));
    // The other has begun as well, and passes over our frame.
    if (there.link == Link::introducing) drop_own_link(from);
    if (const auto opened = links_.open(from, frame, false); !opened) {
        drop(frame);
        return opened;
    }
    if (const auto set = set_peer_bell(from, knock.bell); !set) {
        links_.close(from);
        return set;
    }
    there.link = Link::open;
    there.owes_welcome = true;
    heard(from);
    look_at_edges();
    return {};
}

} // namespace monitor
