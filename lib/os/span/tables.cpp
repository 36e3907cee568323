#include "lib/os/span/tables.hpp"

#include "lib/os/memory.hpp"
#include "lib/os/span/layout.hpp"

namespace os {

Result<CapSlot> SharedTables::make_table(Kind kind) {
    return new_table(kind);
}

Result<CapSlot> SharedTables::mapping_slot() {
    return slots().take();
}

void SharedTables::drop_mapping_slot(CapSlot slot) {
    slots().release(slot);
}

Place SharedTables::place(CapSlot slot) const {
    return place_of(slot);
}

/// The image's tables are the loader's, who has left us what we need of them.
Result<CapSlot> SharedTables::table_at(VirtAddr at) {
    if (at >= control_at) return paging_.table(1, at);
    const SharedImage image = shared_image();
    const span::Range& range = image.region.range;
    const uint64_t first = round_down(range.begin.raw, large_page_bytes);
    const uint64_t index = (at.raw - first) / large_page_bytes;
    if (!range.contains(at) || index >= image.tables.size()) return fail(Err::not_mapped);
    return CapSlot{{image.tables[index]}};
}

Result<CapSlot> SharedTables::map(const span::Region& region, CapSlot frame) {
    const VirtAddr at = region.range.begin;
    const Table table{{TRY(table_at(at))}};
    const CapSlot mapping = TRY(slots().take());
    const auto mapped = table.map(
        Paging::entry_of(1, at),
        frame,
        region.offset,
        region.rights,
        {},
        region.range.bytes() / page_bytes,
        place_of(mapping)
    );
    if (!mapped) {
        slots().release(mapping);
        return fail(mapped.error());
    }
    return mapping;
}

bool SharedTables::unmap(CapSlot mapping) {
    const auto touched = Mapping{{mapping}}.status();
    (void)slots().remove(mapping);
    // Who cannot be asked may have written.
    return !touched || touched->dirty;
}

} // namespace os
