// Messages of peers, and what peers are to be told.
#include <utility>

#include "monitor/monitor.hpp"

namespace monitor {

void Monitor::receive(CoreId from, const Message& message) {
    ++changes_;
    ++messages_[from.raw];
    ++counters_.received[message.index()];
    if (peer(from).link == Link::none) {
        // The last words of a core that is gone are nothing bad.
        if (!is_gone(cores_[from].state)) ++counters_.bad_messages;
        return;
    }
    heard(from);
    std::visit([&](const auto& content) { on(from, content); }, message);
}

// -- answers that are waited for --

/// Messages to one peer that may wait for an answer: so many that a core has a place for the answer
/// to each that all others together may ask for.
uint32_t Monitor::credit() const {
    const size_t share = WordTable::capacity / std::max<size_t>(cores_.count(), 1);
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
    links_.set_bell(core, TRY(kernel_.accept(doorbell_of(bell))));
    return {};
}

/// Nothing will be told to `core` any more, nor heard of it: who waits for it goes on without.
void Monitor::link_lost(CoreId core) {
    peer(core).link = Link::none;
    fail_debts(core);
    for (Binding& end : bindings_.all())
        if (end.state != Binding::State::unused && end.peer == core) peer_failed(end);
    lents_.each([&](Lent& lent) {
        if (lent.relent && lent.relender == core) lent.relent = false; // nobody waits any more
        if (lent.core == core) end_lend(lent, Err::core_dead);
    });
    relents_.each([&](Relent& relent) {
        if (relent.owner == core) abandon(relent);
    });
    words_.each([&](Word& word) {
        if (word.what == Word::What::lend_failed && word.end.sender == core) word.number = 0;
    });
    handed_.each([&](Handed& handed) {
        if (handed.arrived || handed.in_doubt || handed.to != core) return;
        answered(core);
        if (handed.what.kind == abi::Kind::ram)
            handed.in_doubt = true;
        else
            handed_.release(handed); // it may have arrived: it is the lost core's
    });
    lost_on_the_way(core);
    for (Revocation* const revocation : marks_)
        if (revocation != nullptr) gathered(*revocation, core);
    parcels_.each([&](Parcel& parcel) {
        const bool answers =
            parcel.answer == Parcel::Answer::lend || parcel.answer == Parcel::Answer::relend;
        if (answers && parcel.from == core) parcel.answer = Parcel::Answer::none;
    });
    drop_untaken(core, {0, ~uint64_t{0}});
    INVARIANT(peer(core).unanswered == 0, "whoever waited for it does not any more");
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
        const bool unsent = binding.owes_bind;
        forget_debts(binding);
        if (unsent) {
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
        tell_not_lent(relent);
        return relents_.release(relent);
    }
    case Debt::Kind::word: {
        auto& word = static_cast<Word&>(debt);
        if (word.what == Word::What::lend_failed && word.number != 0)
            say(word.end.sender, Word::What::relend_answer, word.number, word.status);
        return words_.release(word);
    }
    case Debt::Kind::hand: {
        auto& handed = static_cast<Handed&>(debt);
        answered(handed.to);
        return comes_back(handed);
    }
    case Debt::Kind::revoke: return; // link_lost counts it as answered
    case Debt::Kind::forward: return forwards_.release(static_cast<Forward&>(debt)); // likewise
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
    if (!may_serve(*server)) return fail(Err::busy);
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
    const auto bell = kernel_.accept(doorbell_of(message.bell));
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
        const auto bell = kernel_.accept(doorbell_of(message.bell));
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
        if (!message) message = next_about_failure(core);
        if (!message) message = next_debt(there);
    }
    if (message) {
        if (!std::holds_alternative<Pong>(*message)) expect(core);
        ++messages_[core.raw];
        ++counters_.sent[message->index()];
    } else {
        there.quiet_at = changes_;
    }
    return message;
}

std::optional<Message> Monitor::next_greeting(CoreId core) {
    Peer& there = peer(core);
    if (std::exchange(there.owes_hello, false))
        return Hello{self_, links_.own_bell(), protocol_version, doorstep_};
    if (std::exchange(there.owes_welcome, false))
        return Welcome{self_, links_.own_bell(), protocol_version, cores_[core].version};
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
        if (number == 0) {
            words_.release(word);
            return message;
        }
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
        auto& handed = static_cast<Handed&>(*debt);
        const Described& what = handed.what;
        const uint32_t number = handed_.number_of(handed);
        handed.version = owners_.newest({what.base, what.bytes});
        return Hand{
            number, what.kind, what.base, what.bytes, what.rights, handed.label, handed.version
        };
    }
    case Debt::Kind::revoke: {
        const uint32_t operation = static_cast<RevokeOut&>(*debt).operation;
        const Revocation* const revocation = revocations_.find(operation);
        INVARIANT(revocation != nullptr, "a revocation waits for all it has to tell");
        return Revoke{
            .operation = operation,
            .owner = self_,
            .life = static_cast<uint8_t>(cores_[self_].version),
            .round = revocation->round,
            .base = revocation->range.base,
            .bytes = revocation->range.bytes,
        };
    }
    case Debt::Kind::forward: {
        auto& forward = static_cast<Forward&>(*debt);
        const Revoke message = forward.content;
        forwards_.release(forward);
        busy_ = true; // there is room for another
        return message;
    }
    default: {
        auto& job = static_cast<RevokeJob&>(*debt);
        job.used = false;
        busy_ = true; // its owner may have gone meanwhile: see bury
        return Revoked{job.operation, job.owner, job.round, !job.incomplete};
    }
    }
}

} // namespace monitor
