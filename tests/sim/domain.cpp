#include "tests/sim/domain.hpp"

#include <algorithm>

#include "tests/sim/invariants.hpp"
#include "tests/sim/world.hpp"

namespace sim {

Text<abi::name_bytes> service_name(uint32_t which) {
    std::array<char, 4> text{'s', 'v', 'c', static_cast<char>('0' + which)};
    return Text<abi::name_bytes>::cut({text.data(), text.size()});
}

void Domain::begin(World& world, Island& island, uint32_t its_badge, int16_t its_number) {
    world_ = &world;
    island_ = &island;
    badge = its_badge;
    number = its_number;
    life = Life::unborn;
    ends.fill({});
    revoke = {};
    own_names = 0;
    team = nullptr;
    faulted = false;
    allowed_count_ = 0;
}

void Domain::note(const char* what, uint64_t a, uint64_t b, Err status) {
    const auto core = static_cast<int8_t>(island_->index);
    world_->note({
        .step = world_->now,
        .from = core,
        .domain = number,
        .what = what,
        .a = a,
        .b = b,
        .status = status,
    });
}

void Domain::counted(const char* what, const Result<>& done, uint64_t a, uint64_t b) {
    ++(done ? world_->tally.operations : world_->tally.refused);
    note(what, a, b, done ? Err::none : done.error().top());
}

/// A slot that holds one of these kinds and that this domain can do without.
CapSlot Domain::some_slot(uint32_t kinds) const {
    const uint32_t all = actor.leafs * abi::cnode_slots - Actor::first_free;
    const uint32_t from = world_->random.draw(all);
    for (uint32_t i = 0; i < all; ++i) {
        const CapSlot slot{{Actor::first_free + (from + i) % all}};
        const bool wanted = (kinds >> static_cast<unsigned>(actor.at(slot).kind) & 1) != 0;
        const bool busy = revoke.state != Revoke::State::idle && revoke.slot == slot;
        if (wanted && !busy && slot.raw % abi::cnode_slots != 0) return slot;
    }
    return abi::null_slot;
}

CapSlot Domain::some_empty() const {
    const uint32_t all = actor.leafs * abi::cnode_slots - Actor::first_free;
    const CapSlot found = actor.free_slot(Actor::first_free + world_->random.draw(all));
    return found != abi::null_slot ? found : actor.free_slot();
}

End* Domain::some_end(End::State state) {
    const uint32_t from = world_->random.draw(max_ends);
    for (uint32_t i = 0; i < max_ends; ++i) {
        End& end = ends[(from + i) % max_ends];
        if (end.state == state) return &end;
    }
    return nullptr;
}

End* Domain::end_of(uint32_t wanted) {
    for (End& end : ends)
        if (end.state != End::State::unused && end.number == wanted) return &end;
    return nullptr;
}

End* Domain::unused_end() {
    for (End& end : ends)
        if (end.state == End::State::unused) return &end;
    return nullptr;
}

Channel::Direction& Domain::out_of(End& end) {
    Channel& channel = world_->channels()[end.channel];
    return end.is_client ? channel.to_server : channel.to_client;
}

Channel::Direction& Domain::into(End& end) {
    Channel& channel = world_->channels()[end.channel];
    return end.is_client ? channel.to_client : channel.to_server;
}

/// The end is no more; what it held goes.
void Domain::close(End& end, bool tell) {
    if (tell) {
        Port port{*island_, actor, {{abi::slot::monitor}}};
        counted("unbind", Monitor{port}.unbind(end.number), end.number);
    }
    // Whoever revoked one of them emptied its slot, and something else may be there by now.
    const bool has_frame = actor.at(end.frame).base == world_->channels()[end.channel].base;
    if (end.frame != abi::null_slot && has_frame) (void)actor.remove(end.frame);
    const bool has_bell = actor.at(end.bell).kind == Kind::doorbell;
    if (end.bell != abi::null_slot && has_bell) (void)actor.remove(end.bell);
    if (team != nullptr) team->lost(*this, end.channel);
    --world_->channels()[end.channel].ends;
    end = {};
}

void Domain::allow(CapSlot slot) {
    const kernel::Slot& cap = actor.at(slot);
    if ((cap.kind != Kind::frame && cap.kind != Kind::ram) || may_have(cap)) return;
    if (allowed_count_ == allowed_.size()) throw Broken{"too many grants for the books"};
    // of RAM one makes frames with all rights
    const uint8_t rights = cap.kind == Kind::ram ? abi::all_rights.raw : cap.rights.raw;
    allowed_[allowed_count_++] = {cap.base, cap.bytes, rights};
}

bool Domain::may_have(const kernel::Slot& cap) const {
    const uint64_t own_end = ram_base_address + quota_bytes;
    if (cap.base >= ram_base_address && cap.end() <= own_end) return true;
    for (unsigned i = 0; i < allowed_count_; ++i) {
        const Allowed& a = allowed_[i];
        const bool inside = a.base <= cap.base && cap.end() <= a.base + a.bytes;
        if (inside && (cap.rights.raw & ~a.rights) == 0) return true;
    }
    return false;
}

/// That memory is somebody's anew: what was given before does not count any more.
void Domain::forget_allowed(uint64_t base, uint64_t bytes) {
    unsigned kept = 0;
    for (unsigned i = 0; i < allowed_count_; ++i) {
        const Allowed a = allowed_[i];
        if (a.base >= base + bytes || base >= a.base + a.bytes) allowed_[kept++] = a;
    }
    allowed_count_ = kept;
}

// -- what is under way --

bool Domain::step(bool calm) {
    if (!actor.runnable()) return false;
    bool busy = false;
    Random& random = world_->random;
    make_room();
    if (calm || random.one_in(2)) busy |= look_at_events();
    if (revoke.state == Revoke::State::local && (calm || random.one_in(2)))
        busy |= go_on_revoking();
    if (team != nullptr && team->is_over()) team = nullptr;
    if (calm || random.one_in(3)) busy |= answer_incoming(calm);
    if (team == nullptr && (calm || random.one_in(2))) busy |= read_letters(calm);
    busy |= let_devices_go(calm);
    const bool goes_on = !calm && life == Life::alive;
    if (goes_on && dies_by_itself()) return true;
    if (team != nullptr) return team->step(*this, !goes_on) || busy;
    if (goes_on) random_operation();
    return goes_on || busy;
}

const char* Domain::waits_for() const {
    if (!actor.runnable()) return nullptr;
    for (const End& end : ends) {
        const bool named = end.patient && !is_offered(end.name);
        if (end.state == End::State::asked && !named) return "the answer to its bind";
        if (end.state == End::State::incoming) return "itself, to answer a bind";
        if (end.waits_for_capability) return "a capability that a message brings";
    }
    if (revoke.state != Revoke::State::idle) return "the end of its revoke";
    return team != nullptr ? team->waits_for(*this) : nullptr;
}

/// As this core knows it: a bind may wait for a name for as long as there is none.
bool Domain::is_offered(const Text<abi::name_bytes>& name) const {
    const auto is_it = [&](const monitor::NameTable::Entry& entry) {
        return entry.present && entry.name.view() == name.view();
    };
    return std::ranges::any_of(island_->monitor.names().entries(), is_it);
}

bool Domain::look_at_events() {
    if (actor.dispatcher->page->pending == 0) return false;
    const Answer a = actor.invoke(Op::wait, abi::slot::dispatcher, {0, abi::wait_polls});
    if (!a.ok()) throw Broken{"a domain cannot look at its events"};
    while (actor.runnable() && take_notice()) {
    }
    return true;
}

bool Domain::take_notice() {
    using Notice = monitor::face::Notice;
    Port port{*island_, actor, {{abi::slot::monitor}}};
    const auto news = Monitor{port}.next();
    if (!news) {
        note("hears of nothing", 0, 0, news.error().top());
        return true;
    }
    End* end = end_of(news->binding);
    switch (news->notice) {
    case Notice::nothing: return false;
    case Notice::incoming: {
        note("is asked", news->binding);
        end = unused_end();
        const auto channel = world_->channel_at(actor.at(news->more).base);
        const auto bell = Monitor{port}.take_bell(news->binding);
        if (end == nullptr || !channel || !bell) {
            counted("refuse", Monitor{port}.answer(news->binding, Err::busy), news->binding);
            (void)actor.remove(news->more);
            if (bell) (void)actor.remove(bell->bell);
            return true;
        }
        *end = {.state = End::State::incoming, .number = news->binding};
        end->frame = news->more;
        end->bell = bell->bell;
        end->channel = *channel;
        ++world_->channels()[*channel].ends;
        allow(news->more);
        return true;
    }
    case Notice::established:
        note("is answered", news->binding, 0, news->status.top());
        if (end == nullptr || end->state != End::State::asked) throw Broken{"an answer too many"};
        if (news->status == Err::none) {
            end->bell = news->more;
            end->state = End::State::open;
        } else {
            close(*end, false);
        }
        return true;
    case Notice::peer_gone:
        note("loses its peer", news->binding);
        if (end != nullptr && end->pinned)
            end->over = true;
        else if (end != nullptr)
            close(*end, false);
        return true;
    case Notice::withdrawn: note("loses a name"); return true;
    case Notice::capability:
        note("may receive", news->binding);
        if (end != nullptr) end->waits_for_capability = false;
        return true;
    case Notice::revoked: revoked(news->binding, news->status, news->more); return true;
    default: return true;
    }
}

bool Domain::answer_incoming(bool calm) {
    End* const end = some_end(End::State::incoming);
    if (end == nullptr) return false;
    const uint32_t no_in = calm ? 2 : 6;
    const bool yes = team != nullptr || world_->settings.obliging || !world_->random.one_in(no_in);
    Port port{*island_, actor, {{abi::slot::monitor}}};
    const auto done = Monitor{port}.answer(end->number, yes ? Err::none : Err::busy);
    counted(yes ? "accept" : "refuse", done, end->number);
    if (!done && done.error() != Err::peer_gone)
        throw Broken{"answer: " + std::string{text_of(done.error().top())}};
    if (done && yes)
        end->state = End::State::open;
    else if (done)
        close(*end, false);
    return true; // peer_gone: the notice comes, and closes it
}

/// What a driver does: when no descriptor of the memory is left, it says so.
bool Domain::let_devices_go(bool calm) {
    for (End& end : ends) {
        if (!end.over || !(calm || world_->random.one_in(16))) continue;
        close(end, true);
        return true;
    }
    return false;
}

bool Domain::read_letters(bool calm) {
    bool busy = false;
    for (End& end : ends) {
        if (end.state != End::State::open || end.waits_for_capability || end.over) continue;
        Channel::Direction& in = into(end);
        if (in.count == 0 || (!calm && in.stalled_until > world_->now)) continue;
        busy |= read_letter(end);
    }
    return busy;
}

/// As the stubs of lib/rpc do: the message is not seen before its capability is there.
bool Domain::read_letter(End& end) {
    Channel::Direction& in = into(end);
    const Letter letter = in.front();
    if (letter.token != 0) {
        const auto got = receive(end, letter.token);
        if (!got && got.error() == Err::not_found) {
            end.waits_for_capability = true;
            return true;
        }
        if (got) came(*got, letter);
    }
    ++world_->tally.letters;
    in.pop();
    return true;
}

Result<CapSlot> Domain::receive(End& end, uint32_t token) {
    Port port{*island_, actor, {{abi::slot::monitor}}};
    const auto got = Monitor{port}.receive(end.number, token);
    note("receives", end.number, token, got ? Err::none : got.error().top());
    return got ? Result<CapSlot>{got->what} : fail(got.error());
}

Result<> Domain::send(End& end, uint32_t token, CapSlot what) {
    Port port{*island_, actor, {{abi::slot::monitor}}};
    const auto done = Monitor{port}.send(end.number, token, what);
    counted("send", done, end.number, token);
    return done;
}

/// What arrives is what was sent, with no more rights.
void Domain::came(CapSlot slot, const Letter& letter) {
    const kernel::Slot& cap = actor.at(slot);
    ++world_->tally.lends;
    if (cap.empty()) return; // revoked since
    if (cap.kind != letter.kind) throw Broken{"a capability of another kind came than was sent"};
    if ((cap.rights.raw & ~letter.rights) != 0) throw Broken{"a right grew on the way"};
    const bool memory = cap.kind == Kind::frame;
    if (memory && (cap.base != letter.base || cap.bytes != letter.bytes))
        throw Broken{"other memory came than was sent"};
    allow(slot);
}

bool Domain::go_on_revoking() {
    const kernel::Slot& cap = actor.at(revoke.slot);
    const bool reused = cap.kind == kernel::Kind::mapping; // of the same page, in that very slot
    if (reused || cap.base != revoke.base || cap.bytes != revoke.bytes) {
        note("revoke: it has gone", revoke.slot.raw, revoke.base);
        revoke.state = Revoke::State::idle;
        return true;
    }
    const auto done = actor.step(Op::cnode_revoke, revoke.slot);
    const Err why = done ? Err::none : done.error().top();
    note("revoke: a step", revoke.slot.raw, revoke.base, why);
    if (why == Err::again) return true;
    if (why != Err::lent) {
        if (done) revoke_is_done();
        revoke.state = Revoke::State::idle;
        return true;
    }
    Port port{*island_, actor, {{abi::slot::monitor}}};
    const auto asked = Monitor{port}.revoke(revoke.slot);
    counted("revoke: asks its monitor", asked ? Result<>{} : fail(asked.error()), revoke.slot.raw);
    if (!asked) {
        // at its quota: later; already being revoked by somebody else: leave it to him
        const bool later = asked.error() == Err::quota || asked.error() == Err::busy;
        if (!later) revoke.state = Revoke::State::idle;
    } else if (asked->request != 0) {
        ++world_->tally.asked;
        revoke.request = asked->request;
        revoke.state = Revoke::State::asked;
    }
    return true;
}

void Domain::revoked(uint32_t request, Fault status, CapSlot what) {
    note("revoked", request, revoke.base, status.top());
    if (revoke.state != Revoke::State::asked || revoke.request != request)
        throw Broken{"the end of a revoke that nobody asked for"};
    for (End& end : ends)
        if (end.state != End::State::unused && end.frame == revoke.slot) end.frame = what;
    revoke.slot = what;
    revoke.state = Revoke::State::idle;
    if (status == Err::none && what != abi::null_slot && !actor.at(what).empty()) revoke_is_done();
}

/// Nothing of it is left but this one capability.
void Domain::revoke_is_done() {
    ++world_->tally.revokes;
    const kernel::Slot& cap = actor.at(revoke.slot);
    if (cap.empty()) return;
    check_nothing_over(*world_, cap.base, cap.bytes, &cap, "a revoke");
    if (revoke.and_delete) (void)actor.remove(revoke.slot);
}

void Domain::revoke_then_delete(CapSlot slot) {
    const kernel::Slot& cap = actor.at(slot);
    if (cap.empty()) return;
    revoke = {Revoke::State::local, slot, 0, cap.base, cap.bytes, true};
    note("begins to revoke", slot.raw, cap.base);
}

void Domain::leave() {
    for (End& end : ends) {
        if (end.state == End::State::unused) continue;
        --world_->channels()[end.channel].ends;
        end = {};
    }
    if (team != nullptr) team->gone(*this);
    team = nullptr;
}

} // namespace sim
