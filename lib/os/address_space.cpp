#include "lib/os/address_space.hpp"

namespace os {
namespace {

constexpr Kind kind_of_level(unsigned level) {
    return Kind(std::to_underlying(Kind::page_table) + level - 1);
}

static_assert(kind_of_level(4) == Kind::address_space);

constexpr uint32_t entry_of(unsigned level, VirtAddr at) {
    return static_cast<uint32_t>(at.raw / Paging::entry_bytes(level) % 512);
}

constexpr uint64_t begin_of(unsigned level, VirtAddr at) {
    return round_down(at.raw, 512 * Paging::entry_bytes(level));
}

} // namespace

const TableRecord* Paging::find(unsigned level, VirtAddr at) const {
    for (const TableRecord& r : records_.first(count_))
        if (r.level == level && r.begin == begin_of(level, at)) return &r;
    return nullptr;
}

Result<CapSlot> Paging::table(unsigned level, VirtAddr at) {
    if (level == 4) return root_;
    if (const TableRecord* known = find(level, at)) return known->slot;
    const CapSlot above = TRY(table(level + 1, at));
    if (count_ == records_.size()) return fail(Err::no_space);
    const CapSlot made = TRY(source_->make_table(kind_of_level(level)));
    const CapSlot mapping = TRY(source_->mapping_slot());
    const auto linked = Table{{above}
    }.map(entry_of(level + 1, at), made, 0, abi::write, {}, 1, source_->place(mapping));
    if (!linked) {
        source_->drop_mapping_slot(mapping);
        return fail(linked.error());
    }
    records_[count_++] = {begin_of(level, at), made, level};
    return made;
}

Result<CapSlot> Paging::map_part(VirtAddr at, const Run& run, uint64_t done, uint64_t bytes) {
    const unsigned level = run.large ? 2 : 1;
    const CapSlot into = TRY(table(level, at));
    const CapSlot mapping = TRY(source_->mapping_slot());
    const auto flags =
        run.large ? abi::MapFlags(
                        std::to_underlying(run.flags) | std::to_underlying(abi::MapFlags::large)
                    )
                  : run.flags;
    const auto mapped = Table{{into}}.map(
        entry_of(level, at),
        run.frame,
        run.offset + done,
        run.rights,
        flags,
        bytes / entry_bytes(level),
        source_->place(mapping)
    );
    if (!mapped) {
        source_->drop_mapping_slot(mapping);
        return fail(mapped.error());
    }
    return mapping;
}

Result<> Paging::map_page(VirtAddr at, CapSlot frame, CapSlot mapping) {
    const TableRecord* into = find(1, at);
    if (into == nullptr) return fail(Err::not_mapped);
    return Table{{into->slot}
    }.map(entry_of(1, at), frame, 0, abi::read | abi::write, {}, 1, source_->place(mapping));
}

} // namespace os
