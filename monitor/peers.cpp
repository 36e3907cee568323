// Messages of peers, and what peers are to be told.
#include <utility>

#include "monitor/monitor.hpp"

namespace monitor {

void Monitor::receive(CoreId from, const Message& message) {
    ++changes_;
    ++cores_[from.raw].messages;
    std::visit([&](const auto& content) { on(from, content); }, message);
}

// -- links --

Result<> Monitor::set_peer_bell(CoreId core, Bell bell) {
    const Described what{
        .kind = abi::Kind::doorbell,
        .rights = abi::write | abi::copy,
        .base = abi::core_space + bell.apic,
        .bytes = 1,
        .badge = bell.vector,
    };
    links_.set_bell(core, TRY(kernel_.accept(what)));
    return {};
}

/// A link to `core` exists, or is on its way: a pair without one is introduced by the hub.
Result<> Monitor::need_link(CoreId core) {
    Peer& there = peer(core);
    if (there.link == Link::open || there.link == Link::introducing) return {};
    if (core.raw >= core_count_) return fail(Err::no_such_core);
    if (self_ == hub || core == hub || there.link == Link::joining) return fail(Err::core_dead);
    if (loans_.full()) return fail(Err::no_space);
    const LinkFrame frame = TRY(links_.make_frame());
    const auto loan = kernel_.lend(frame.slot);
    if (!loan) {
        kernel_.drop(frame.slot);
        return fail(loan.error());
    }
    loans_.enter(*loan, frame.base, frame.bytes).borrowers.insert(core);
    TRY_VOID(links_.open(core, frame.slot, true));
    there.frame = frame;
    there.link = Link::introducing;
    there.owes_connect = true;
    return {};
}

void Monitor::relay(CoreId to, bool refused, const Connect& connect) {
    const auto place = std::ranges::find(relays_, false, &Relay::used);
    if (place == relays_.end()) {
        ++counters_.lost_words;
        return;
    }
    *place = {.used = true, .to = to, .refused = refused, .connect = connect};
}

void Monitor::on(CoreId from, const Connect& message) {
    if (self_ == hub && message.from == from && message.to != self_) {
        const bool up = peer(message.to).link == Link::open;
        relay(up ? message.to : from, !up, message);
        return;
    }
    const bool mine =
        from == hub && message.to == self_ && message.from != self_ && message.from != hub;
    if (!mine || !introduced(message)) ++counters_.bad_messages;
}

/// Both may have begun at the same time: then the lower core's frame is taken, by both.
Result<> Monitor::introduced(const Connect& message) {
    Peer& there = peer(message.from);
    const bool ours_counts = self_ < message.from;
    if (there.link == Link::introducing && ours_counts) return {};
    if (there.link == Link::open) return ours_counts ? Result<>{} : fail(Err::exists);
    const CapSlot frame = TRY(kernel_.accept({
        .kind = abi::Kind::frame,
        .rights = abi::read | abi::write,
        .base = message.base.raw,
        .bytes = message.bytes,
    }));
    if (there.link == Link::introducing) links_.close(message.from);
    there.owes_connect = false;
    TRY_VOID(links_.open(message.from, frame, false));
    TRY_VOID(set_peer_bell(message.from, message.bell));
    there.link = Link::open;
    there.owes_welcome = true;
    return {};
}

void Monitor::on(CoreId from, const Welcome& message) {
    Peer& there = peer(from);
    const bool expected = message.from == from && (there.link == Link::introducing || from == hub);
    if (!expected) {
        ++counters_.bad_messages;
        return;
    }
    cores_[from.raw].apic = message.bell.apic;
    if (there.link == Link::introducing && set_peer_bell(from, message.bell))
        there.link = Link::open;
}

void Monitor::on(CoreId from, const Refused& message) {
    Peer& there = peer(message.to);
    if (from != hub || there.link != Link::introducing) {
        ++counters_.bad_messages;
        return;
    }
    links_.close(message.to);
    there.link = Link::none;
    there.owes_connect = false;
    fail_debts(message.to);
}

/// Nobody can be told any more what `core` was to be told.
void Monitor::fail_debts(CoreId core) {
    while (Binding* const binding = peer(core).debts.front()) {
        forget_debts(*binding);
        if (binding->state == Binding::State::asked) {
            answered(*binding);
            settle(*binding, Err::core_dead);
        } else {
            bindings_.release(*binding);
        }
    }
    for (Handed& handed : handed_)
        if (handed.used && !handed.arrived && handed.to == core) handed = Handed{};
}

// -- bindings --

void Monitor::refuse(CoreId to, uint32_t binding, Fault status) {
    const auto place = std::ranges::find(refusals_, false, &Refusal::used);
    if (place == refusals_.end()) {
        ++counters_.lost_words;
        return;
    }
    *place = {.used = true, .to = to, .binding = binding, .status = status};
}

void Monitor::on(CoreId from, const Bind& message) {
    if (const auto done = incoming(from, message); !done)
        refuse(from, message.binding, done.error());
}

Result<> Monitor::incoming(CoreId from, const Bind& message) {
    const NameTable::Entry* const entry = names_.find(message.name, self_);
    if (entry == nullptr || !entry->present) return fail(Err::not_found);
    Client* const server = clients_.find(entry->owner);
    INVARIANT(server != nullptr, "names of a client go with it");
    if (server->server_ends >= server_ends_max) return fail(Err::busy);
    Binding& end = *TRY(bindings_.take(Binding::State::offered, server->badge));
    ++server->server_ends;
    end.name = message.name;
    end.peer = from;
    end.peer_number = message.binding;
    end.bytes = message.bytes;
    const auto frame = kernel_.accept({
        .kind = abi::Kind::frame,
        .rights = message.rights,
        .base = message.base.raw,
        .bytes = message.bytes,
    });
    if (frame) end.frame = *frame;
    const auto bell = kernel_.accept({
        .kind = abi::Kind::doorbell,
        .rights = abi::write | abi::copy,
        .base = abi::core_space + message.bell.apic,
        .bytes = 1,
        .badge = message.bell.vector,
    });
    if (bell) end.bell = *bell;
    if (!frame || !bell) {
        discard(end);
        return fail(frame ? bell.error() : frame.error());
    }
    post(end, Binding::News::incoming);
    return {};
}

/// The peer's one answer to our Bind, whatever it says.
void Monitor::answered(Binding& binding) {
    --peer(binding.peer).unanswered;
    loans_.settled(binding.base, binding.bytes);
}

void Monitor::on(CoreId from, const BindAnswer& message) {
    Binding* const binding = bindings_.find(message.binding);
    using enum Binding::State;
    const bool expected = binding != nullptr && binding->is_client && binding->peer == from &&
                          (binding->state == asked || binding->state == abandoned) &&
                          !binding->owes_bind && binding->news == Binding::News::none;
    if (!expected) {
        ++counters_.bad_messages;
        return;
    }
    answered(*binding);
    if (binding->state == abandoned) {
        binding->state = closed;
        if (!binding->owes()) bindings_.release(*binding);
        return;
    }
    Fault status = message.status;
    if (status == Err::none) {
        const auto bell = kernel_.accept({
            .kind = abi::Kind::doorbell,
            .rights = abi::write | abi::copy,
            .base = abi::core_space + message.bell.apic,
            .bytes = 1,
            .badge = message.bell.vector,
        });
        if (bell)
            binding->bell = *bell;
        else
            status = bell.error();
        if (!bell) owe(*binding, &Binding::owes_unbind);
    }
    settle(*binding, status);
}

void Monitor::on(CoreId from, const Unbind& message) {
    using enum Binding::State;
    if (!message.from_client) {
        Binding* const binding = bindings_.find(message.binding);
        if (binding == nullptr || !binding->is_client || binding->peer != from) return;
        if (binding->state == asked || binding->state == abandoned) answered(*binding);
        if (binding->state == abandoned) {
            forget_debts(*binding);
            bindings_.release(*binding);
            return;
        }
        peer_lost(*binding);
        return;
    }
    for (Binding& end : bindings_.all()) {
        const bool meant = end.state != unused && !end.is_client && end.peer == from &&
                           end.peer_number == message.binding && end.state != closed;
        if (!meant) continue;
        if (end.state == offered || end.owes_answer) {
            // The client waits for one answer to its Bind even when it has left.
            forget_debts(end);
            refuse(from, message.binding, Err::cancelled);
        }
        peer_lost(end);
        return;
    }
}

// -- device capabilities --

void Monitor::on(CoreId, const Hand& message) {
    if (!keep(message)) ++counters_.bad_messages;
}

Result<> Monitor::keep(const Hand& message) {
    const Name label = TRY(Name::from(message.label.view()));
    const Described what{
        .kind = message.kind,
        .rights = message.rights,
        .base = message.base,
        .bytes = message.bytes,
    };
    return keep_here(label, TRY(kernel_.accept(what)));
}

// -- what is to be told --

std::optional<Message> Monitor::next_message(CoreId core) {
    Peer& there = peer(core);
    if (there.quiet_at == changes_) return std::nullopt;
    std::optional<Message> message;
    if (there.link == Link::open) {
        message = next_greeting(core);
        if (!message) message = next_on_tree(core);
        if (!message) message = next_debt(there);
        if (!message) message = next_word(core);
    }
    if (message)
        ++cores_[core.raw].messages;
    else
        there.quiet_at = changes_;
    return message;
}

std::optional<Message> Monitor::next_greeting(CoreId core) {
    Peer& there = peer(core);
    if (std::exchange(there.owes_hello, false)) return Hello{self_, links_.own_bell()};
    if (std::exchange(there.owes_welcome, false)) return Welcome{self_, links_.own_bell()};
    return std::nullopt;
}

std::optional<Message> Monitor::next_on_tree(CoreId core) {
    for (size_t i = 0; i < core_count_; ++i) {
        if (!core_untold_[i].contains(core)) continue;
        core_untold_[i].erase(core);
        const CoreId which{{static_cast<uint8_t>(i)}};
        return CoreChange{which, cores_[i].apic, cores_[i].state};
    }
    if (const NameTable::Entry* const entry = names_.next_untold(core))
        return NameChange{entry->name, entry->home, entry->present};
    return std::nullopt;
}

Message Monitor::bind_message(const Binding& binding) {
    Client* const owner = clients_.find(binding.owner);
    INVARIANT(owner != nullptr && owner->vector, "an owner that leaves takes its bind back");
    return Bind{
        .binding = bindings_.number_of(binding),
        .name = binding.name,
        .base = binding.base,
        .bytes = binding.bytes,
        .rights = binding.rights,
        .bell = *owner->vector,
    };
}

std::optional<Message> Monitor::next_debt(Peer& there) {
    Binding* const binding = there.debts.front();
    if (binding == nullptr) return std::nullopt;
    std::optional<Message> message;
    const uint32_t number =
        binding->is_client ? bindings_.number_of(*binding) : binding->peer_number;
    if (std::exchange(binding->owes_bind, false)) {
        message = bind_message(*binding);
    } else if (std::exchange(binding->owes_answer, false)) {
        Client* const owner = clients_.find(binding->owner);
        const bool rings = owner != nullptr && owner->vector;
        message = BindAnswer{number, binding->status, rings ? *owner->vector : Bell{}};
    } else {
        binding->owes_unbind = false;
        message = Unbind{number, binding->is_client};
    }
    if (!binding->owes()) {
        there.debts.remove(*binding);
        if (binding->state == Binding::State::closed) bindings_.release(*binding);
    }
    return message;
}

std::optional<Message> Monitor::next_word(CoreId core) {
    for (Refusal& refusal : refusals_) {
        if (!refusal.used || refusal.to != core) continue;
        refusal.used = false;
        return BindAnswer{refusal.binding, refusal.status, Bell{}};
    }
    for (Handed& handed : handed_) {
        if (!handed.used || handed.arrived || handed.to != core) continue;
        const Handed out = std::exchange(handed, Handed{});
        return Hand{out.what.kind, out.what.base, out.what.bytes, out.what.rights, out.label};
    }
    for (Relay& relay : relays_) {
        if (!relay.used || relay.to != core) continue;
        relay.used = false;
        if (relay.refused) return Refused{relay.connect.to};
        return relay.connect;
    }
    if (core != hub) return std::nullopt;
    for (size_t i = 0; i < core_count_; ++i) {
        Peer& other = peers_[i];
        if (!std::exchange(other.owes_connect, false)) continue;
        const CoreId to{{static_cast<uint8_t>(i)}};
        return Connect{self_, to, other.frame.base, other.frame.bytes, links_.own_bell()};
    }
    return std::nullopt;
}

} // namespace monitor
