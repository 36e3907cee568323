#include "usr/memory/server.hpp"

#include <algorithm>

#include "lib/base/log.hpp"
#include "lib/base/mark.hpp"
#include "lib/os/instructions.hpp"
#include "lib/os/memory.hpp"
#include "usr/memory/canary.hpp"

namespace memory {

using namespace interfaces::memory;

namespace {

/// What is seen of memory at a time, so that address space and page tables stay small.
constexpr uint64_t window_bytes = uint64_t{32} << 20;

/// Shows [offset, offset + bytes) of some RAM that nothing is derived from, window by window.
template <class Look>
Result<> look_at(os::CapSlot ram, uint64_t offset, uint64_t bytes, Look&& look) {
    const os::OwnedCap slot{TRY(os::slots().take())};
    const os::Place at = os::place_of(slot.slot());
    const os::CNode cnode{{at.cnode}};
    while (bytes != 0) {
        const uint64_t part = std::min(bytes, window_bytes);
        TRY_VOID(cnode.retype(at.index, ram, os::Kind::frame, offset, part));
        const os::View view = TRY(os::View::make(slot.slot(), 0, part, abi::read | abi::write));
        const std::span words{view.as<uint64_t>(), part / sizeof(uint64_t)};
        mark_use<MarkedUse::nothing>(&words.front(), &words.back());
        look(words, offset);
        TRY_VOID(cnode.remove(at.index));
        offset += part;
        bytes -= part;
    }
    return {};
}

} // namespace

Result<AllocateResult> Server::allocate(uint64_t, const AllocateArguments& arguments) {
    if (arguments.bytes == page_bytes) return AllocateResult{TRY(ready_page())};
    return AllocateResult{TRY(grant(arguments.bytes))};
}

Result<AllocateDirtyResult>
Server::allocate_dirty(uint64_t, const AllocateDirtyArguments& arguments) {
    return AllocateDirtyResult{TRY(hand_out(TRY(buddy_.allocate(arguments.bytes)), Use::away))};
}

Result<AllocateWithinResult>
Server::allocate_within(uint64_t, const AllocateWithinArguments& arguments) {
    const Block block =
        TRY(buddy_.allocate_within(arguments.bytes, phys(arguments.begin), phys(arguments.end)));
    return AllocateWithinResult{TRY(hand_out(block, Use::away))};
}

Result<abi::CapSlot> Server::ready_page() {
    // Without room for many there may be room for one.
    if (ready_count_ == 0 && !make_pages_ready()) return grant(page_bytes);
    return ready_[--ready_count_];
}

Result<> Server::make_pages_ready() {
    const Block first = TRY(buddy_.allocate_run(page_bytes, ready_pages));
    const auto made = [&]() -> Result<> {
        Block whole = first;
        whole.bytes *= ready_pages;
        TRY_VOID(prepare(whole, true));
        const os::CapSlot slots = TRY(os::slots().take_run(ready_pages));
        const auto carved = carve(first, slots, ready_pages);
        for (uint32_t i = 0; i < ready_pages; ++i) {
            const os::CapSlot slot{{slots.raw + ready_pages - 1 - i}};
            if (carved)
                ready_[i] = slot;
            else
                os::slots().release(slot);
        }
        return carved;
    }();
    if (made) {
        ready_count_ = ready_pages;
        return {};
    }
    for (uint32_t i = 0; i < ready_pages; ++i)
        TRY_VOID(buddy_.release(first.base + i * page_bytes, page_bytes));
    return made;
}

/// Capabilities to `count` blocks side by side, in slots side by side.
Result<> Server::carve(const Block& first, abi::CapSlot to, uint32_t count) const {
    const Region& region = regions_[first.root];
    const os::Place at = os::place_of(to);
    return os::CNode{{at.cnode}}.retype(
        at.index, region.ram.slot(), os::Kind::ram, first.base - region.base, first.bytes, count
    );
}

/// What is done to free memory before somebody has it.
Result<> Server::prepare(const Block& block, bool zeroed) {
    if (!zeroed && !checked_) return {};
    const Region& region = regions_[block.root];
    const auto ready = [&](std::span<uint64_t> words, uint64_t offset) {
        if (checked_) {
            const Damage damage = find_damage(words, region.base.raw + offset);
            damaged_words_ += damage.words;
            if (damage.words != 0)
                log::error(
                    "free memory was written to: {} words from {:016x} on, there is {:016x}",
                    damage.words,
                    damage.first,
                    damage.value
                );
        }
        if (zeroed) os::fill_words(words.data(), 0, words.size());
    };
    return look_at(region.ram.slot(), block.base - region.base, block.bytes, ready);
}

Result<> Server::fill(uint16_t root, PhysAddr base, uint64_t bytes) {
    if (!checked_) return {};
    const Region& region = regions_[root];
    const auto canaries = [&](std::span<uint64_t> words, uint64_t offset) {
        fill_canaries(words, region.base.raw + offset);
    };
    return look_at(region.ram.slot(), base - region.base, bytes, canaries);
}

Result<abi::CapSlot> Server::grant(uint64_t bytes) {
    return hand_out(TRY(buddy_.allocate(bytes)), Use::granted);
}

/// Whoever hands it to another memory server gets it with whatever is in it.
Result<abi::CapSlot> Server::hand_out(const Block& block, Use use) {
    const auto made = [&]() -> Result<abi::CapSlot> {
        TRY_VOID(prepare(block, use == Use::granted));
        const os::CapSlot slot = TRY(os::slots().take());
        const auto carved = carve(block, slot, 1);
        if (carved) return slot;
        os::slots().release(slot);
        return fail(carved.error());
    }();
    if (!made) TRY_VOID(buddy_.release(block.base, block.bytes));
    if (made && use == Use::away) buddy_.goes_away(block.base);
    return made;
}

Result<> Server::release(uint64_t, const ReleaseArguments& arguments) {
    os::OwnedCap ram{arguments.ram};
    if (ram.is_null()) return fail(Err::cap_empty);
    const os::Description what = TRY(os::describe(ram.slot()));
    const auto block = buddy_.find(phys(what.base));
    const bool ours = what.kind == os::Kind::ram && block && block->bytes == what.bytes &&
                      block->use != Use::free;
    if (!ours) return fail(Err::not_found);
    const os::Place at = os::place_of(ram.slot());
    if (const auto gone = os::CNode{{at.cnode}}.revoke(at.index); !gone) {
        log::error("memory is released that is still in use: {}", gone.error());
        (void)ram.release(); // what is below it keeps it alive; it is never granted again
        return gone;
    }
    ram.reset();
    TRY_VOID(fill(block->root, block->base, block->bytes));
    return buddy_.release(phys(what.base), what.bytes);
}

Result<StateResult> Server::state(uint64_t) {
    const Sums sums = buddy_.sums();
    uint64_t foreign = 0;
    for (const Region& region : regions_)
        if (region.foreign) foreign += region.bytes;
    // Pages that are ready are free.
    const uint64_t free = sums.free + ready_count_ * page_bytes;
    return StateResult{sums.total, free, sums.largest, foreign, damaged_words_};
}

Result<> Server::add(uint64_t, const AddArguments& arguments) {
    os::OwnedCap ram{arguments.ram};
    if (ram.is_null()) return fail(Err::cap_empty);
    const os::Description what = TRY(os::describe(ram.slot()));
    if (what.kind != os::Kind::ram) return fail(Err::cap_type);
    const auto place =
        std::ranges::find_if(regions_, [](const Region& r) { return r.ram.is_null(); });
    if (place == regions_.end()) return fail(Err::no_space);
    const auto root = static_cast<uint16_t>(place - regions_.begin());
    TRY_VOID(buddy_.add(phys(what.base), what.bytes, root));
    *place = {std::move(ram), phys(what.base), what.bytes, arguments.foreign};
    return fill(root, phys(what.base), what.bytes);
}

/// Pages that are ready are no use of the region they are cut from.
Result<> Server::forget_ready() {
    while (ready_count_ != 0) {
        os::OwnedCap page{ready_[--ready_count_]};
        const PhysAddr base = phys(TRY(os::describe(page.slot())).base);
        page.reset();
        if (const auto block = buddy_.find(base)) TRY_VOID(fill(block->root, base, page_bytes));
        TRY_VOID(buddy_.release(base, page_bytes));
    }
    return {};
}

Result<SpareResult> Server::spare(uint64_t) {
    if (std::ranges::any_of(regions_, &Region::foreign)) TRY_VOID(forget_ready());
    for (Region& region : regions_) {
        if (!region.foreign) continue;
        const auto root = static_cast<uint16_t>(&region - regions_.data());
        if (!buddy_.remove(root)) continue;
        const SpareResult spare{region.ram.release()};
        region = {};
        return spare;
    }
    return fail(Err::not_found);
}

void Server::discard(abi::CapSlot slot) {
    (void)os::slots().remove(slot);
}

} // namespace memory
