#include "usr/memory/server.hpp"

#include "lib/os/loader.hpp"

namespace memory {

using namespace interfaces::memory;

Result<AllocateResult> Server::allocate(uint64_t, const AllocateArguments& arguments) {
    return AllocateResult{TRY(grant(arguments.bytes, true))};
}

Result<AllocateDirtyResult>
Server::allocate_dirty(uint64_t, const AllocateDirtyArguments& arguments) {
    return AllocateDirtyResult{TRY(grant(arguments.bytes, false))};
}

Result<abi::CapSlot> Server::carve(const Block& block) const {
    const Region& region = regions_[block.root];
    const abi::CapSlot slot = TRY(os::slots().take());
    const os::Place at = os::place_of(slot);
    const auto made = os::CNode{{at.cnode}
    }.retype(at.index, region.ram, os::Kind::ram, block.base - region.base, block.bytes);
    if (!made) {
        os::slots().release(slot);
        return fail(made.error());
    }
    return slot;
}

Result<abi::CapSlot> Server::grant(uint64_t bytes, bool zeroed) {
    const Block block = TRY(buddy_.allocate(bytes));
    const auto ram = carve(block);
    const auto ready = !ram || !zeroed ? Result<>{} : os::zero_ram(*ram);
    if (ram && ready) return *ram;
    if (ram) discard(*ram);
    TRY_VOID(buddy_.release(block.base, block.bytes));
    return fail(ram ? ready.error() : ram.error());
}

Result<> Server::release(uint64_t, const ReleaseArguments& arguments) {
    os::OwnedCap ram{arguments.ram};
    if (ram.is_null()) return fail(Err::cap_empty);
    const os::Description what = TRY(os::describe(ram.slot()));
    const auto block = buddy_.find(phys(what.base));
    const bool ours = what.kind == os::Kind::ram && block && block->bytes == what.bytes &&
                      block->use == Use::granted;
    if (!ours) return fail(Err::not_found);
    const os::Place at = os::place_of(ram.slot());
    if (const auto gone = os::CNode{{at.cnode}}.revoke(at.index); !gone) {
        // The capability is kept, as the memory below it is in use for ever.
        (void)ram.release();
        TRY_VOID(buddy_.park(phys(what.base), what.bytes));
        return fail(gone.error());
    }
    ram.reset();
    return buddy_.release(phys(what.base), what.bytes);
}

Result<StateResult> Server::state(uint64_t) {
    const Sums sums = buddy_.sums();
    return StateResult{sums.total, sums.free, sums.parked, sums.largest};
}

Result<> Server::add(uint64_t, const AddArguments& arguments) {
    os::OwnedCap ram{arguments.ram};
    if (ram.is_null()) return fail(Err::cap_empty);
    const os::Description what = TRY(os::describe(ram.slot()));
    if (what.kind != os::Kind::ram) return fail(Err::cap_type);
    if (region_count_ == regions_.size()) return fail(Err::no_space);
    TRY_VOID(buddy_.add(phys(what.base), what.bytes, region_count_));
    regions_[region_count_++] = {ram.release(), phys(what.base)};
    return {};
}

void Server::discard(abi::CapSlot slot) {
    (void)os::slots().remove(slot);
}

} // namespace memory
