#include "lib/os/graves.hpp"

namespace os {

Result<> Graves::stock(unsigned level) {
    if (frame_ == abi::null_slot) frame_ = TRY(source_->make_frame(page_bytes, page_bytes)).slot;
    for (Page& page : pages_)
        if (page.mapping == abi::null_slot) page.mapping = TRY(source_->mapping_slot());
    constexpr std::array kinds{Kind::page_table, Kind::page_directory};
    for (unsigned i = 0; i + 1 < level; ++i) {
        for (SmallTable& t : tables_[i]) {
            if (t.table == abi::null_slot) t.table = TRY(source_->make_table(kinds[i]));
            if (t.hang == abi::null_slot) t.hang = TRY(source_->mapping_slot());
        }
    }
    return {};
}

void Graves::take_down(unsigned level, SmallTable& table) {
    if (table.begin == 0) return;
    // Or what is in it would show up in its next place, with the rights of this one.
    const uint64_t end = table.begin + Paging::entry_bytes(level + 1);
    if (level == 1)
        empty(table.begin, end);
    else
        leave(table.begin, end, level - 1);
    source_->unmap_entries(table.hang);
    table.begin = 0;
}

/// A table of `level` where a page of the level above has gone.
Result<CapSlot> Graves::hang_table(unsigned level, VirtAddr at, CapSlot above) {
    const uint64_t begin = round_down(at.raw, Paging::entry_bytes(level + 1));
    Tables& all = tables_[level - 1];
    for (const SmallTable& t : all)
        if (t.begin == begin) return t.table;
    SmallTable& t = all[next_table_[level - 1]];
    next_table_[level - 1] = (next_table_[level - 1] + 1) % tables;
    take_down(level, t);
    const uint32_t entry = Paging::entry_of(level + 1, at);
    TRY_VOID(source_->map_entries(above, entry, t.table, 0, abi::write, {}, 1, t.hang));
    t.begin = begin;
    return t.table;
}

Result<> Graves::bury(VirtAddr at, unsigned level, Rights rights) {
    const TableRecord* const record = paging_->find(level, at);
    if (record == nullptr) return fail(Err::not_mapped);
    any_ = true;
    CapSlot table = record->table;
    for (; level > 1; --level)
        table = TRY(hang_table(level - 1, at, table));
    Page& page = pages_[next_page_];
    next_page_ = (next_page_ + 1) % pages;
    if (page.mapped) source_->unmap_entries(page.mapping);
    page = {page.mapping, false, round_down(at.raw, page_bytes)};
    const Rights seen = rights & (abi::read | abi::write);
    const uint32_t entry = Paging::entry_of(1, at);
    TRY_VOID(source_->map_entries(table, entry, frame_, 0, seen, {}, 1, page.mapping));
    page.mapped = true;
    return {};
}

void Graves::empty(uint64_t begin, uint64_t end) {
    for (Page& page : pages_) {
        if (!page.mapped || page.at < begin || page.at >= end) continue;
        source_->unmap_entries(page.mapping);
        page.mapped = false;
    }
}

void Graves::leave(uint64_t begin, uint64_t end, unsigned highest) {
    empty(begin, end);
    for (unsigned level = 1; level <= highest; ++level)
        for (SmallTable& t : tables_[level - 1])
            if (t.begin >= begin && t.begin < end) take_down(level, t);
}

} // namespace os
