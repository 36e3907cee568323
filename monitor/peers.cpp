// Messages of peers, and what peers are to be told.
#include <utility>

#include "monitor/monitor.hpp"

namespace monitor {

void Monitor::receive(CoreId from, const Message& message) {
    ++changes_;
    ++cores_[from.raw].messages;
    ++counters_.received[message.index()];
    if (peer(from).link == Link::none) {
        ++counters_.bad_messages;
        return;
    }
    std::visit([&](const auto& content) { on(from, content); }, message);
}

// -- answers that are waited for --

/// Messages to one peer that may wait for an answer: so many that a core has a place for the answer
/// to each that all others together may ask for.
uint32_t Monitor::credit() const {
    const size_t share = WordTable::capacity / std::max<size_t>(core_count_, 1);
    return static_cast<uint32_t>(std::min<size_t>(unanswered_max, share));
}

Result<> Monitor::ask(CoreId core) {
    if (peer(core).unanswered >= credit()) return fail(Err::busy);
    ++peer(core).unanswered;
    return {};
}

void Monitor::answered(CoreId core) {
    INVARIANT(peer(core).unanswered > 0, "each answer is to something that was counted");
    --peer(core).unanswered;
}

void Monitor::say(CoreId to, Word::What what, uint32_t number, Fault status) {
    if (peer(to).link == Link::none) return;
    const auto taken = words_.take();
    if (!taken) {
        ++counters_.lost_words;
        return;
    }
    (*taken)->what = what;
    (*taken)->number = number;
    (*taken)->status = status;
    owe(**taken, to);
}

void Monitor::refuse(CoreId to, uint32_t binding, Fault status) {
    say(to, Word::What::bind_refused, binding, status);
}

void Monitor::owe(Debt& debt, CoreId to) {
    debt.to = to;
    peer(to).debts.push_back(debt);
}

void Monitor::forgive(Debt& debt) {
    if (debt.owed()) peer(debt.to).debts.remove(debt);
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
    const LinkFrame frame = TRY(links_.make_frame());
    const Range range{frame.base.raw, frame.bytes};
    const auto lent = lend(core, frame.slot, range, abi::read | abi::write);
    if (!lent) {
        kernel_.drop(frame.slot);
        return fail(lent.error());
    }
    there.link_lend = lents_.number_of(**lent);
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
        .badge = message.from.raw,
    }));
    if (there.link == Link::introducing) {
        // The other has begun as well, and passes over our frame.
        end_lend(std::exchange(there.link_lend, 0), Err::none);
        links_.close(message.from);
    }
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
    if (message.version != protocol_version) {
        ++counters_.other_versions;
        return link_lost(from);
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
    end_lend(std::exchange(there.link_lend, 0), Err::none);
    links_.close(message.to);
    link_lost(message.to);
}

/// Nothing will be told to `core` any more, nor heard of it: who waits for it goes on without.
void Monitor::link_lost(CoreId core) {
    peer(core).link = Link::none;
    peer(core).owes_connect = false;
    fail_debts(core);
    for (Binding& end : bindings_.all())
        if (end.state != Binding::State::unused && end.peer == core) peer_failed(end);
    lents_.each([&](Lent& lent) {
        if (lent.core == core) end_lend(lent, Err::core_dead);
    });
    relents_.each([&](Relent& relent) {
        if (relent.owner == core) abandon(relent);
    });
    handed_.each([&](Handed& handed) {
        if (handed.arrived || handed.to != core) return;
        answered(core);
        handed_.release(handed); // it may have arrived: it is the failed core's
    });
    for (Revocation* const revocation : marks_)
        if (revocation != nullptr) gathered(*revocation, core);
}

void Monitor::peer_failed(Binding& end) {
    using enum Binding::State;
    if (end.is_client && end.state == abandoned) {
        answered(end, true);
        return bindings_.release(end);
    }
    const bool waits = end.is_client && end.state == asked && end.news == Binding::News::none;
    if (waits) {
        answered(end, true);
        return settle(end, Err::core_dead);
    }
    if (end.state == established || end.state == offered) peer_lost(end);
}

/// Nobody can be told any more what `core` was to be told.
void Monitor::fail_debts(CoreId core) {
    while (Debt* const debt = peer(core).debts.pop_front())
        abandon(*debt);
}

void Monitor::abandon(Debt& debt) {
    switch (debt.kind) {
    case Debt::Kind::binding: {
        auto& binding = static_cast<Binding&>(debt);
        forget_debts(binding);
        if (binding.state == Binding::State::asked) {
            answered(binding, true);
            settle(binding, Err::core_dead);
        } else if (binding.state == Binding::State::closed) {
            bindings_.release(binding);
        }
        return;
    }
    case Debt::Kind::lend: return end_lend(static_cast<Lent&>(debt), Err::core_dead);
    case Debt::Kind::borrow: return borrows_.release(static_cast<Borrow&>(debt));
    case Debt::Kind::relend: {
        auto& relent = static_cast<Relent&>(debt);
        answered(relent.owner);
        sent_was_taken(relent.sender_end);
        return relents_.release(relent);
    }
    case Debt::Kind::word: {
        auto& word = static_cast<Word&>(debt);
        if (word.what == Word::What::lend_failed)
            say(word.end.sender, Word::What::relend_answer, word.number, word.status);
        return words_.release(word);
    }
    case Debt::Kind::hand: {
        auto& handed = static_cast<Handed&>(debt);
        answered(handed.to);
        return comes_back(handed);
    }
    case Debt::Kind::revoke: return; // link_lost counts it as answered
    case Debt::Kind::revoked: static_cast<RevokeJob&>(debt).used = false;
    }
}

// -- bindings --

void Monitor::on(CoreId from, const Bind& message) {
    if (const auto done = incoming(from, message); !done)
        say(from, Word::What::bind_unheard, message.binding, done.error());
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
    end.range = {message.base.raw, message.bytes};
    const auto frame = borrow(
        from,
        message.lend,
        {
            .kind = abi::Kind::frame,
            .rights = message.rights,
            .base = message.base.raw,
            .bytes = message.bytes,
            .badge = from.raw,
        }
    );
    const auto bell = kernel_.accept({
        .kind = abi::Kind::doorbell,
        .rights = abi::write | abi::copy,
        .base = abi::core_space + message.bell.apic,
        .bytes = 1,
        .badge = message.bell.vector,
    });
    if (bell) end.bell = *bell;
    if (!frame || !bell) {
        if (frame) forget(**frame); // the refusal says so
        discard(end);
        return fail(frame ? bell.error() : frame.error());
    }
    end.borrow = borrows_.number_of(**frame);
    post(end, Binding::News::incoming);
    return {};
}

/// The peer's one answer to our Bind, whatever it says.
void Monitor::answered(Binding& binding, bool refused) {
    answered(binding.peer);
    Lent* const lent = lents_.find(binding.lend);
    if (lent == nullptr) return; // revoked, or given back already
    lent->in_flight = false;
    if (refused) end_lend(*lent, Err::none);
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
    answered(*binding, message.refused);
    if (binding->state == abandoned) {
        binding->state = closed;
        if (!binding->owes()) bindings_.release(*binding);
        return;
    }
    Fault status = message.status;
    if (status == Err::none && binding->doomed) {
        status = Err::revoking;
        owe(*binding, &Binding::owes_unbind);
    } else if (status == Err::none) {
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
        const bool waits = binding->state == asked && binding->news == Binding::News::none;
        if (waits || binding->state == abandoned) answered(*binding, false);
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
    if (message) {
        ++cores_[core.raw].messages;
        ++counters_.sent[message->index()];
    } else {
        there.quiet_at = changes_;
    }
    return message;
}

std::optional<Message> Monitor::next_greeting(CoreId core) {
    Peer& there = peer(core);
    if (std::exchange(there.owes_hello, false))
        return Hello{self_, links_.own_bell(), protocol_version};
    if (std::exchange(there.owes_welcome, false))
        return Welcome{self_, links_.own_bell(), protocol_version};
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
        .lend = binding.lend,
        .name = binding.name,
        .base = phys(binding.range.base),
        .bytes = binding.range.bytes,
        .rights = binding.rights,
        .bell = *owner->vector,
    };
}

/// One of a binding's; it leaves the list with the last.
Message Monitor::tell(Binding& binding) {
    const uint32_t number = binding.is_client ? bindings_.number_of(binding) : binding.peer_number;
    Message message;
    if (std::exchange(binding.owes_bind, false)) {
        message = bind_message(binding);
    } else if (std::exchange(binding.owes_answer, false)) {
        Client* const owner = clients_.find(binding.owner);
        const bool rings = owner != nullptr && owner->vector;
        message = BindAnswer{number, binding.status, rings ? *owner->vector : Bell{}};
    } else {
        binding.owes_unbind = false;
        message = Unbind{number, binding.is_client};
    }
    if (!binding.owes()) {
        forgive(binding);
        if (binding.state == Binding::State::closed) bindings_.release(binding);
    }
    return message;
}

Message Monitor::tell(Word& word) {
    forgive(word);
    const Word::What what = word.what;
    const uint32_t number = word.number;
    const Fault status = word.status;
    if (what == Word::What::lend_failed) {
        const Message message =
            monitor::Lend{.end = word.end, .token = word.token, .status = status};
        word.what = Word::What::relend_answer;
        owe(word, word.end.sender);
        return message;
    }
    words_.release(word);
    switch (what) {
    case Word::What::lend_answer: return LendAnswer{number, status};
    case Word::What::relend_answer: return RelendAnswer{number, status};
    case Word::What::hand_answer: return HandAnswer{number, status};
    default: return BindAnswer{number, status, Bell{}, what == Word::What::bind_unheard};
    }
}

std::optional<Message> Monitor::next_debt(Peer& there) {
    Debt* const debt = there.debts.front();
    if (debt == nullptr) return std::nullopt;
    if (debt->kind == Debt::Kind::binding) return tell(static_cast<Binding&>(*debt));
    if (debt->kind == Debt::Kind::word) return tell(static_cast<Word&>(*debt));
    forgive(*debt);
    switch (debt->kind) {
    case Debt::Kind::lend: return lend_message(static_cast<Lent&>(*debt));
    case Debt::Kind::relend: return static_cast<Relent&>(*debt).content;
    case Debt::Kind::borrow: {
        auto& borrow = static_cast<Borrow&>(*debt);
        const Return message{borrow.lend};
        borrows_.release(borrow);
        return message;
    }
    case Debt::Kind::hand: {
        const auto& handed = static_cast<Handed&>(*debt);
        const Described& what = handed.what;
        const uint32_t number = handed_.number_of(handed);
        return Hand{number, what.kind, what.base, what.bytes, what.rights, handed.label};
    }
    case Debt::Kind::revoke: {
        const uint32_t operation = static_cast<RevokeOut&>(*debt).operation;
        const Revocation* const revocation = revocations_.find(operation);
        INVARIANT(revocation != nullptr, "a revocation waits for all it has to tell");
        return Revoke{operation, revocation->range.base, revocation->range.bytes};
    }
    default: {
        auto& job = static_cast<RevokeJob&>(*debt);
        job.used = false;
        return Revoked{job.operation};
    }
    }
}

std::optional<Message> Monitor::next_word(CoreId core) {
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
