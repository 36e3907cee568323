// What is asked of a CNode, a page table, a mapping.
#include "kernel/invoker.hpp"

namespace kernel {

/// The slot that argument 0 names in the CNode, whatever is in it.
Result<Slot*> Invoker::slot_in_cnode() const {
    if (argument(0) >= abi::cnode_slots) return fail(Err::bad_argument);
    return &core_.cnode(cap_).slot[argument(0)];
}

Result<> Invoker::copy() {
    Slot* const into = TRY(destination());
    Slot* const source = TRY(capability(1));
    return core_.copy(*source, *into, source->rights);
}

Result<> Invoker::mint() {
    Slot* const into = TRY(destination());
    Slot* const source = TRY(capability(1));
    const Rights rights = TRY(rights_argument(2));
    // a badge is set where the endpoint is made, and never changes
    if (argument(3) != 0 && argument(3) != source->tag()) return fail(Err::bad_argument);
    return core_.copy(*source, *into, rights);
}

Result<> Invoker::move() {
    Slot* const into = TRY(destination());
    return core_.move(*TRY(core_.find_changeable(caller_, argument(1))), *into);
}

Result<> Invoker::retype() {
    const uint64_t index = argument(0), count = argument(5);
    if (argument(2) >= abi::kind_names.size()) return fail(Err::bad_argument);
    if (index >= abi::cnode_slots || count > abi::cnode_slots - index) {
        return fail(Err::bad_argument);
    }
    Slot* const source = TRY(capability(1));
    const std::span<Slot> into{&core_.cnode(cap_).slot[index], count};
    const auto kind = static_cast<Kind>(argument(2));
    return core_.retype(*source, kind, argument(3), argument(4), into);
}

Result<> Invoker::describe() {
    const Slot& slot = *TRY(slot_in_cnode());
    const bool badged = slot.kind == Kind::endpoint || slot.kind == Kind::doorbell ||
                        (slot.kind == Kind::frame && slot.has(flag::borrowed));
    value(0, static_cast<uint64_t>(slot.kind) | uint64_t{slot.rights.raw} << 8);
    value(1, slot.empty() ? 0 : slot.base);
    value(2, slot.empty() ? 0 : slot.bytes);
    value(3, badged ? slot.tag() : 0);
    value(4, description(slot));
    return {};
}

uint64_t Invoker::description(const Slot& slot) const {
    return (slot.has(flag::revoking | flag::marked) ? abi::describe_revoking : 0) |
           (slot.has(flag::borrowed) ? abi::describe_borrowed : 0) |
           (slot.has(flag::given) ? abi::describe_given : 0) |
           (slot.has(flag::keeper) ? abi::describe_keeper : 0) |
           (core_.database().idle(slot) ? abi::describe_idle : 0);
}

Result<> Invoker::map() {
    const uint64_t rights = argument(3) & 0xff;
    if (rights > abi::all_rights.raw || argument(0) >= table_entries) {
        return fail(Err::bad_argument);
    }
    if (argument(4) > table_entries) return fail(Err::bad_argument);
    const MapRequest request{
        .entry = static_cast<uint32_t>(argument(0)),
        .offset = argument(2),
        .rights = Rights{static_cast<uint8_t>(rights)} & (abi::read | abi::write | abi::execute),
        .flags = argument(3) >> 8,
        .count = static_cast<uint32_t>(argument(4)),
    };
    Slot* const source = TRY(capability(1));
    return core_.map(cap_, *source, request, *TRY(empty_place(5)));
}

} // namespace kernel
