#include "lib/os/grant.hpp"

#include <algorithm>

namespace os {
namespace {

constexpr uint64_t block_bytes = PageGrant::block_pages * page_bytes;

} // namespace

Result<> PageGrant::refill() {
    const auto place = std::ranges::find(blocks_, abi::null_slot, &Block::ram);
    if (place == blocks_.end()) return fail(Err::no_space);
    OwnedCap ram{TRY(server_->allocate(block_bytes)).ram};
    const auto base = cut(ram.slot());
    if (!base) {
        (void)server_->release(ram.slot());
        return fail(base.error());
    }
    ready_count_ = block_pages;
    *place = {ram.release(), *base, block_pages};
    return {};
}

/// Makes the block's pages ready. Answers where it begins.
Result<uint64_t> PageGrant::cut(CapSlot ram) {
    const uint64_t base = TRY(describe(ram)).base;
    const CapSlot first = TRY(slots().take_run(block_pages));
    const Place at = place_of(first);
    const CNode cnode{{at.cnode}};
    const auto made = cnode.retype(at.index, ram, Kind::ram, 0, page_bytes, block_pages);
    for (uint32_t i = 0; i < block_pages; ++i) {
        const CapSlot slot{{first.raw + block_pages - 1 - i}}; // the lowest address comes first
        if (made)
            ready_[i] = slot;
        else
            slots().release(slot);
    }
    TRY_VOID(made);
    return base;
}

Result<> PageGrant::give(CapSlot page) {
    const Place at = place_of(page);
    const uint64_t base = TRY(describe(page)).base;
    const auto block = std::ranges::find_if(blocks_, [&](const Block& b) {
        return b.ram != abi::null_slot && base >= b.base && base - b.base < block_bytes;
    });
    if (block == blocks_.end()) return fail(Err::not_found);
    TRY_VOID((CNode{{at.cnode}}.revoke(at.index)));
    TRY_VOID(slots().remove(page));
    if (--block->out != 0) return {};
    const CapSlot ram = std::exchange(block->ram, abi::null_slot);
    const auto released = server_->release(ram);
    (void)slots().remove(ram);
    return released;
}

} // namespace os
