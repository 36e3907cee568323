#include "tests/hostile/usr/chaos/storm.hpp"

#include <array>

#include "interfaces/monitor.hpp"
#include "lib/base/format.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/memory.hpp"

namespace chaos {
namespace {

using abi::CapSlot, abi::Op;

constexpr uint32_t playground_leaf = 40; // lib/os takes leafs from both ends, and few

} // namespace

Result<> Storm::begin() {
    const CapSlot slot = TRY(os::slots().take());
    TRY(os::quota().make(os::place_of(slot), abi::Kind::cnode, page_bytes));
    TRY_VOID(os::root_cnode().copy(playground_leaf, slot));
    playground_ = slot;
    return {};
}

CapSlot Storm::slot() {
    switch (random_.draw(10)) {
    case 8:
    case 9: return playground_;
    case 0: return {{static_cast<uint32_t>(random_.next())}};
    case 1: return abi::slot_at(random_.draw(64), 0);
    case 2: return abi::slot_at(playground_leaf, random_.draw(64));
    case 3: return abi::slot_at(1, random_.draw(64));
    default: return abi::slot_at(0, random_.draw(64));
    }
}

uint64_t Storm::argument() {
    constexpr std::array<uint64_t, 12> edges{
        0,
        1,
        63,
        64,
        511,
        512,
        page_bytes,
        large_page_bytes,
        abi::views_at.raw,
        0xffff'8000'0000'0000,
        ~uint64_t{0},
        uint64_t{1} << 63,
    };
    switch (random_.draw(6)) {
    case 0: return random_.next();
    case 1: return random_.one_of<uint64_t>(edges);
    case 2: return random_.draw(16) * page_bytes;
    case 3: return slot().raw;
    default: return random_.draw(64);
    }
}

/// Who is called there is this domain itself, which would wait for ever, or whoever ends it.
bool Storm::must_not_be_called(CapSlot slot) {
    const auto there = os::describe(slot);
    if (!there || there->kind != abi::Kind::endpoint) return false;
    const auto is = [&](uint32_t index) {
        const auto ours = os::describe(abi::slot_at(0, index));
        return ours && ours->base == there->base;
    };
    return is(abi::slot::dispatcher) || is(abi::slot::parent);
}

/// What ends or stops this domain itself: allowed, but rarely, or nothing else would be tried.
bool Storm::is_suicide(Op op, CapSlot slot, const os::Values& values) const {
    switch (op) {
    case Op::cnode_delete: return slot != playground_;
    case Op::cnode_revoke: // of a copy: takes what we stand on
        return slot != playground_ || values[0] >= abi::cnode_slots || !made_here_[values[0]];
    case Op::cnode_move: return values[1] / abi::cnode_slots != playground_leaf;
    case Op::mapping_protect:
    case Op::endpoint_make:
    case Op::doorbell_make: return slot.raw / abi::cnode_slots != playground_leaf;
    case Op::dispatcher_configure:
    case Op::dispatcher_start:
    case Op::dispatcher_stop:
    case Op::dispatcher_priority:
    case Op::resume: return true;
    case Op::call: return must_not_be_called(slot);
    case Op::reply_wait: return true; // nobody would wake it
    default: return false;
    }
}

/// Says so first, as it may be the last that is heard of it.
bool Storm::dares(Op op, CapSlot slot, const os::Values& values) {
    if (!is_suicide(op, slot, values)) return true;
    if (!random_.one_in(100'000)) return false;
    std::array<char, 64> text;
    os::last_words(format_to(text, "chaos: tries operation {} on itself", std::to_underlying(op)));
    return true;
}

void Storm::step() {
    if (random_.one_in(8)) return local_call();
    // A few operations that do not exist, too.
    const auto op = Op(random_.draw(uint32_t{std::to_underlying(Op::count_)} + 3));
    const CapSlot target = slot();
    os::Values values;
    for (uint64_t& v : values)
        v = argument();
    if (op == Op::wait) { // it comes back, and what comes is put where lib/os expects it
        values[0] = static_cast<uint64_t>((os::now() + microseconds(200)).ns);
        if (!random_.one_in(1000)) values[2] = 0;
    }
    if (!dares(op, target, values)) return;
    const abi::Answer answer = os::system_call(op, target, values);
    ++calls_;
    if (answer.status == 0) {
        ++successes_;
        note(op, target, values, answer);
    }
    empty_receive_slot();
}

void Storm::note(Op op, CapSlot slot, const os::Values& values, const abi::Answer& answer) {
    constexpr uint64_t ours = uint64_t{1} << abi::event_timer;
    note_place(op, slot, values);
    if (op == Op::call) note_call(values, answer);
    if (op != Op::wait) return;
    const bool events = answer.value[0] == std::to_underlying(abi::Woke::events);
    if (events && (answer.value[1] & ~ours) != 0) harm_ = "took its own events";
    if (values[2] != 0) harm_ = "moved its receive slot";
}

/// To the monitor, or whoever has an operation of that number.
void Storm::note_call(const os::Values& values, const abi::Answer& got) {
    using enum interfaces::monitor::Number;
    if (got.value[1] != 0) return; // refused
    const uint64_t operation = values[1];
    if (operation == std::to_underlying(attach) || operation == std::to_underlying(attach_channels))
        harm_ = "moved its doorbells";
    if (operation == std::to_underlying(next) && got.value[2] != 0) harm_ = "took its own notices";
}

/// Which places of the playground hold what was made there and is no copy.
void Storm::note_place(Op op, CapSlot slot, const os::Values& values) {
    if (slot != playground_ || values[0] >= abi::cnode_slots) return;
    if (op == Op::cnode_retype) made_here_[values[0]] = true;
    if (op == Op::cnode_copy || op == Op::cnode_mint || op == Op::cnode_move)
        made_here_[values[0]] = false;
}

/// To a server of this core: operations that it has and others, anything in the words, any of our
/// capabilities along with it.
void Storm::local_call() {
    constexpr std::array<uint32_t, 4> servers{
        abi::slot::monitor, abi::slot::memory, abi::slot::monitor, abi::slot::given
    };
    os::Values values{};
    if (random_.one_in(3)) values[0] = slot().raw; // copied: what we stand on stays with us
    values[1] = random_.one_in(10) ? random_.next() : random_.draw(48);
    for (size_t i = 2; i < values.size(); ++i)
        values[i] = argument();
    const abi::CapSlot to = abi::slot_at(0, random_.one_of<uint32_t>(servers));
    const abi::Answer answer = os::system_call(Op::call, to, values);
    ++calls_;
    if (answer.status == 0) {
        ++successes_;
        note_call(values, answer);
    }
    empty_receive_slot();
}

/// What came makes room for the next, or the event loop could not wait.
void Storm::empty_receive_slot() {
    const os::Place receive = os::place_of(os::receive_slot);
    (void)os::CNode{{receive.cnode}}.remove(receive.index);
    if (os::describe(os::receive_slot)) harm_ = "keeps its receive slot full";
}

} // namespace chaos
