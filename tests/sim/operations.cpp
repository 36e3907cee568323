#include "tests/sim/world.hpp"

namespace sim {

namespace {

constexpr uint32_t bit(Kind k) {
    return 1u << static_cast<unsigned>(k);
}

constexpr uint32_t memory_kinds = bit(Kind::frame);
constexpr uint32_t anything = ~bit(Kind::empty);

} // namespace

// -- what comes to its mind --

bool Domain::dies_by_itself() {
    if (world_->random.one_in(400)) {
        life = Life::exiting;
        note("exits");
        return true;
    }
    if (!world_->random.one_in(900)) return false;
    if (!actor.running()) actor.switch_to();
    actor.core->on_fault(6, 0, 0);
    actor.core->schedule();
    faulted = true;
    life = Life::exiting;
    note("has a fault");
    return true;
}

/// Who has no slot left loses what comes to him, and hangs by his own fault.
void Domain::make_room() {
    constexpr unsigned enough = 24;
    unsigned free = 0;
    for (uint32_t i = Actor::first_free; i < actor.leafs * abi::cnode_slots; ++i)
        free += actor.at({{i}}).empty();
    for (unsigned tries = 0; free < enough && tries < 4; ++tries)
        delete_one();
}

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
        Choice{1, &Domain::pin_one},
    };
    constexpr unsigned sum = [] {
        unsigned all = 0;
        for (const Choice& c : choices)
            all += c.weight;
        return all;
    }();
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
    const uint32_t which = world_->random.draw(names);
    const bool wait = world_->random.one_in(8);
    (void)bind(service_name(which), which, wait);
}

std::optional<uint16_t> Domain::bind_to(const Text<abi::name_bytes>& name) {
    return bind(name, names, true);
}

std::optional<uint16_t> Domain::bind(const Text<abi::name_bytes>& name, uint32_t which, bool wait) {
    End* const end = unused_end();
    const CapSlot to = some_empty();
    if (end == nullptr || to == abi::null_slot) return std::nullopt;
    const uint64_t offset = (14 + world_->random.draw(50)) * page_bytes;
    const CapSlot quota{{abi::slot::quota}};
    if (!actor.retype(quota, Kind::frame, offset, page_bytes, to)) return std::nullopt;
    // Who revoked a channel's frame must not make another there: a channel is known by its address.
    if (world_->channel_at(actor.at(to).base)) {
        (void)actor.remove(to);
        return std::nullopt;
    }
    const auto channel = world_->open_channel(actor.at(to).base);
    Port port{*island_, actor, {{abi::slot::monitor}}};
    const auto bound = channel ? Monitor{port}.bind(name, wait, to)
                               : Result<monitor::face::BindResult>{fail(channel.error())};
    const uint32_t number_of_it = bound ? bound->binding : 0;
    counted("bind", bound ? Result<>{} : fail(bound.error()), which, number_of_it);
    if (!bound) {
        if (channel) world_->channels()[*channel].ends = 0;
        (void)actor.remove(to);
        return std::nullopt;
    }
    *end = {.state = End::State::asked, .is_client = true, .number = bound->binding};
    end->frame = to;
    end->channel = *channel;
    end->patient = wait;
    end->name = name;
    return *channel;
}

void Domain::offer_own(const Text<abi::name_bytes>& name) {
    Port port{*island_, actor, {{abi::slot::monitor}}};
    counted("offer", Monitor{port}.offer(name));
}

void Domain::unbind_one() {
    End* const end =
        world_->random.one_in(8) ? some_end(End::State::asked) : some_end(End::State::open);
    if (end != nullptr) close(*end, true);
}

/// As a driver does with the buffers of a channel.
void Domain::pin_one() {
    End* const end = some_end(End::State::open);
    if (end == nullptr || end->is_client || end->pinned || actor.at(end->frame).empty()) return;
    Port port{*island_, actor, {{abi::slot::monitor}}};
    const auto done = Monitor{port}.pin(end->number, end->frame);
    end->pinned = done.has_value();
    counted("pin", done, end->number);
}

CapSlot Domain::make_frame_for(uint64_t bytes) {
    const CapSlot to = actor.free_slot();
    counted("make frame", actor.retype({{abi::slot::quota}}, Kind::frame, quota_fixed, bytes, to));
    return to;
}

void Domain::close_all() {
    for (End& end : ends)
        if (end.state != End::State::unused) close(end, true);
}

Letter Domain::letter_with(End& end, CapSlot what) const {
    const kernel::Slot& cap = actor.at(what);
    Letter letter;
    letter.token = end.next_token++;
    letter.base = cap.base;
    letter.bytes = cap.bytes;
    letter.rights = cap.rights.raw;
    letter.kind = cap.kind;
    return letter;
}

void Domain::send_to_all(CapSlot what) {
    for (End& end : ends) {
        if (end.state != End::State::open) continue;
        const Letter letter = letter_with(end, what);
        if (send(end, letter.token, what)) out_of(end).push(letter);
    }
}

void Domain::send_one() {
    End* const end = some_end(End::State::open);
    if (end == nullptr || out_of(*end).count == Channel::room) return;
    Letter letter;
    if (!world_->random.one_in(3)) {
        const uint32_t kinds = world_->random.one_in(8) ? anything : memory_kinds;
        const CapSlot what = some_slot(kinds | bit(Kind::doorbell));
        if (what == abi::null_slot) return;
        letter = letter_with(*end, what);
        const auto sent = send(*end, letter.token, what);
        if (!sent || world_->random.one_in(24)) return; // now and then the message never follows
    }
    out_of(*end).push(letter);
    counted("write", {}, end->number, letter.token);
}

} // namespace sim
