#include "tests/sim/domain.hpp"

#include "tests/sim/world.hpp"

namespace sim {

namespace {

constexpr uint32_t bit(Kind k) {
    return 1u << static_cast<unsigned>(k);
}

constexpr uint32_t memory_kinds = bit(Kind::frame);
constexpr uint32_t anything = ~bit(Kind::empty);

Text<abi::name_bytes> service_name(uint32_t which) {
    std::array<char, 4> text{'s', 'v', 'c', static_cast<char>('0' + which)};
    return Text<abi::name_bytes>::cut({text.data(), text.size()});
}

} // namespace

void Domain::begin(World& world, Island& island, uint32_t its_badge, int16_t its_number) {
    world_ = &world;
    island_ = &island;
    badge = its_badge;
    number = its_number;
    life = Life::unborn;
    ends.fill({});
    revoke = {};
    own_names = 0;
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
    for (const CapSlot slot : {end.frame, end.bell})
        if (slot != abi::null_slot && !actor.at(slot).empty()) (void)actor.remove(slot);
    if (end.is_client) world_->channels()[end.channel].used = false;
    end = {};
}

void Domain::allow(CapSlot slot) {
    const kernel::Slot& cap = actor.at(slot);
    if (cap.kind != Kind::frame || may_have(cap)) return;
    if (allowed_count_ == allowed_.size()) throw Broken{"too many grants for the books"};
    allowed_[allowed_count_++] = {cap.base, cap.bytes, cap.rights.raw};
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
    if (calm || random.one_in(2)) busy |= look_at_events();
    if (revoke.state == Revoke::State::local && (calm || random.one_in(2)))
        busy |= go_on_revoking();
    if (calm || random.one_in(2)) busy |= read_letters(calm);
    if (calm || random.one_in(3)) busy |= answer_incoming(calm);
    if (calm || life != Life::alive) return busy;
    random_operation();
    return true;
}

const char* Domain::waits_for() const {
    if (!actor.runnable()) return nullptr;
    for (const End& end : ends) {
        const bool named = end.patient && !is_offered(end.service);
        if (end.state == End::State::asked && !named) return "the answer to its bind";
        if (end.state == End::State::incoming) return "itself, to answer a bind";
        if (end.waits_for_capability) return "a capability that a message brings";
    }
    if (revoke.state != Revoke::State::idle) return "the end of its revoke";
    return nullptr;
}

/// As this core knows it: a bind may wait for a name for as long as there is none.
bool Domain::is_offered(uint32_t service) const {
    const auto name = service_name(service);
    for (uint32_t i = 0;; ++i) {
        const auto entry = island_->monitor.name_at(i);
        if (!entry) return false;
        if ((*entry)->name.view() == name.view()) return true;
    }
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
        if (end != nullptr) close(*end, false);
        return true;
    case Notice::withdrawn: note("loses a name"); return true;
    default: return true;
    }
}

bool Domain::answer_incoming(bool calm) {
    End* const end = some_end(End::State::incoming);
    if (end == nullptr) return false;
    const bool yes = calm ? world_->random.one_in(2) : !world_->random.one_in(6);
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

bool Domain::read_letters(bool calm) {
    bool busy = false;
    for (End& end : ends) {
        if (end.state != End::State::open || end.waits_for_capability) continue;
        Channel::Direction& in = into(end);
        if (in.count == 0 || (!calm && in.stalled_until > world_->now)) continue;
        busy = true;
        ++world_->tally.letters;
        in.pop();
    }
    return busy;
}

bool Domain::go_on_revoking() {
    const auto done = actor.step(Op::cnode_revoke, revoke.slot);
    note("revoke: a step", revoke.slot.raw, revoke.base, done ? Err::none : done.error().top());
    if (!done && done.error() == Err::again) return true;
    revoke.state = Revoke::State::idle;
    if (done) ++world_->tally.revokes;
    return true;
}

// -- what comes to its mind --

void Domain::random_operation() {
    using Act = void (Domain::*)();

    struct Choice {
        unsigned weight;
        Act act;
    };

    static constexpr std::array choices = {
        Choice{6, &Domain::make_frame},
        Choice{1, &Domain::split_ram},
        Choice{8, &Domain::copy_or_mint},
        Choice{2, &Domain::move_one},
        Choice{10, &Domain::delete_one},
        Choice{8, &Domain::map_one},
        Choice{2, &Domain::protect_one},
        Choice{4, &Domain::unmap_one},
        Choice{1, &Domain::make_endpoint_or_bell},
        Choice{3, &Domain::ring_one},
        Choice{2, &Domain::begin_revoke},
        Choice{4, &Domain::offer_one},
        Choice{2, &Domain::withdraw_one},
        Choice{8, &Domain::bind_one},
        Choice{2, &Domain::unbind_one},
        Choice{24, &Domain::send_one},
    };
    constexpr unsigned sum = [] {
        unsigned all = 0;
        for (const Choice& c : choices)
            all += c.weight;
        return all;
    }();
    if (world_->random.one_in(400)) {
        life = Life::exiting;
        note("exits");
        return;
    }
    if (world_->random.one_in(900)) {
        if (!actor.running()) actor.switch_to();
        actor.core->on_fault(6, 0, 0);
        actor.core->schedule();
        faulted = true;
        life = Life::exiting;
        note("faults");
        return;
    }
    unsigned at = world_->random.draw(sum);
    for (const Choice& c : choices) {
        if (at < c.weight) return (this->*c.act)();
        at -= c.weight;
    }
}

void Domain::make_frame() {
    Random& random = world_->random;
    const CapSlot to = some_empty();
    CapSlot ram = random.one_in(4) ? some_slot(bit(Kind::ram)) : CapSlot{{abi::slot::quota}};
    if (ram == abi::null_slot) ram = {{abi::slot::quota}};
    const kernel::Slot& source = actor.at(ram);
    if (to == abi::null_slot || source.empty()) return;
    const uint64_t bytes = page_bytes << random.draw(3);
    const uint64_t offset =
        random.draw(static_cast<uint32_t>(source.bytes / page_bytes)) * page_bytes;
    counted("make frame", actor.retype(ram, Kind::frame, offset, bytes, to), offset, bytes);
}

void Domain::split_ram() {
    const CapSlot to = some_empty();
    if (to == abi::null_slot) return;
    const uint64_t offset = (14 + world_->random.draw(46)) * page_bytes;
    const CapSlot ram{{abi::slot::quota}};
    counted("split ram", actor.retype(ram, Kind::ram, offset, 4 * page_bytes, to), offset);
}

void Domain::copy_or_mint() {
    const CapSlot from = some_slot(anything), to = some_empty();
    if (from == abi::null_slot || to == abi::null_slot) return;
    if (world_->random.one_in(2)) return counted("copy", actor.copy(from, to), from.raw, to.raw);
    const Place at = Actor::place_of(to);
    const uint64_t rights = world_->random.draw(16);
    const Answer a = actor.invoke(Op::cnode_mint, at.cnode, {at.index, from.raw, rights, 0});
    counted("mint", a.result(), from.raw, rights);
}

void Domain::move_one() {
    const CapSlot from = some_slot(anything), to = some_empty();
    if (from == abi::null_slot || to == abi::null_slot) return;
    for (End& end : ends) {
        if (end.frame == from) end.frame = to;
        if (end.bell == from) end.bell = to;
    }
    counted("move", actor.move(from, to), from.raw, to.raw);
}

void Domain::delete_one() {
    const CapSlot slot = some_slot(anything);
    if (slot == abi::null_slot) return;
    for (const End& end : ends)
        if (end.state != End::State::unused && (end.frame == slot || end.bell == slot)) return;
    counted("delete", actor.remove(slot), slot.raw, actor.at(slot).base);
}

void Domain::map_one() {
    const CapSlot frame = some_slot(memory_kinds), to = some_empty();
    if (frame == abi::null_slot || to == abi::null_slot) return;
    const uint64_t entry = world_->random.draw(512), rights = world_->random.draw(8) | 1;
    const uint64_t pages = actor.at(frame).bytes / page_bytes;
    const Place at = Actor::place_of(to);
    const uint64_t count = 1 + world_->random.draw(static_cast<uint32_t>(pages));
    const Answer a = actor.invoke(
        Op::table_map, page_table_slot, {entry, frame.raw, 0, rights, count, at.cnode, at.index}
    );
    counted("map", a.result(), actor.at(frame).base, entry);
}

void Domain::protect_one() {
    const CapSlot mapping = some_slot(bit(Kind::mapping));
    if (mapping == abi::null_slot) return;
    const uint64_t rights = world_->random.draw(8);
    counted("protect", actor.invoke(Op::mapping_protect, mapping.raw, {rights}).result(), rights);
}

void Domain::unmap_one() {
    const CapSlot mapping = some_slot(bit(Kind::mapping));
    if (mapping == abi::null_slot) return;
    const uint64_t base = actor.at(mapping).base;
    counted("unmap", actor.remove(mapping), base);
}

void Domain::make_endpoint_or_bell() {
    const CapSlot to = some_empty();
    if (to == abi::null_slot) return;
    const Place at = Actor::place_of(to);
    const bool bell = world_->random.one_in(2);
    const Op op = bell ? Op::doorbell_make : Op::endpoint_make;
    const Answer a = actor.invoke(op, abi::slot::dispatcher, {at.cnode, at.index, 5});
    counted(bell ? "make doorbell" : "make endpoint", a.result());
}

void Domain::ring_one() {
    const CapSlot bell = some_slot(bit(Kind::doorbell));
    if (bell == abi::null_slot) return;
    counted("ring", actor.invoke(Op::ring, bell.raw).result());
}

void Domain::begin_revoke() {
    if (revoke.state != Revoke::State::idle) return;
    const CapSlot slot = some_slot(memory_kinds | bit(Kind::ram));
    if (slot == abi::null_slot) return;
    const kernel::Slot& cap = actor.at(slot);
    for (const End& end : ends) {
        const bool asked = end.state == End::State::asked && !actor.at(end.frame).empty();
        if (asked && cap.contains(actor.at(end.frame))) return;
    }
    revoke = {.state = Revoke::State::local, .slot = slot, .base = cap.base, .bytes = cap.bytes};
    note("begins to revoke", slot.raw, cap.base);
}

void Domain::offer_one() {
    const uint32_t which = world_->random.draw(names);
    Port port{*island_, actor, {{abi::slot::monitor}}};
    const auto done = Monitor{port}.offer(service_name(which));
    if (done) own_names |= 1u << which;
    counted("offer", done, which);
}

void Domain::withdraw_one() {
    if (own_names == 0) return;
    const auto which = static_cast<uint32_t>(std::countr_zero(own_names));
    own_names &= own_names - 1;
    Port port{*island_, actor, {{abi::slot::monitor}}};
    counted("withdraw", Monitor{port}.withdraw(service_name(which)), which);
}

void Domain::bind_one() {
    End* const end = unused_end();
    const CapSlot to = some_empty();
    if (end == nullptr || to == abi::null_slot) return;
    const uint64_t offset = (14 + world_->random.draw(50)) * page_bytes;
    const CapSlot quota{{abi::slot::quota}};
    if (!actor.retype(quota, Kind::frame, offset, page_bytes, to)) return;
    const auto channel = world_->open_channel(actor.at(to).base);
    const bool wait = world_->random.one_in(8);
    const uint32_t which = world_->random.draw(names);
    Port port{*island_, actor, {{abi::slot::monitor}}};
    const auto bound = channel ? Monitor{port}.bind(service_name(which), wait, to)
                               : Result<monitor::face::BindResult>{fail(channel.error())};
    counted("bind", bound ? Result<>{} : fail(bound.error()), which, actor.at(to).base);
    if (!bound) {
        if (channel) world_->channels()[*channel].used = false;
        (void)actor.remove(to);
        return;
    }
    *end = {.state = End::State::asked, .is_client = true, .number = bound->binding};
    end->frame = to;
    end->channel = *channel;
    end->patient = wait;
    end->service = which;
}

void Domain::unbind_one() {
    End* const end =
        world_->random.one_in(8) ? some_end(End::State::asked) : some_end(End::State::open);
    if (end != nullptr) close(*end, true);
}

void Domain::send_one() {
    End* const end = some_end(End::State::open);
    if (end == nullptr || out_of(*end).count == Channel::room) return;
    out_of(*end).push({});
    counted("write", {}, end->number);
}

} // namespace sim
