#include "lib/os/graves.hpp"

namespace os {

Result<> Graves::stock(bool large) {
    if (frame_ == abi::null_slot) frame_ = TRY(source_->make_frame(page_bytes, page_bytes)).slot;
    for (Page& page : pages_)
        if (page.mapping == abi::null_slot) page.mapping = TRY(source_->mapping_slot());
    if (!large) return {};
    for (SmallTable& t : tables_) {
        if (t.table == abi::null_slot) t.table = TRY(source_->make_table(Kind::page_table));
        if (t.hang == abi::null_slot) t.hang = TRY(source_->mapping_slot());
    }
    return {};
}

void Graves::take_down(SmallTable& table) {
    if (table.begin == 0) return;
    // Or its pages would show up in its next place, with the rights of this one.
    empty(table.begin, table.begin + large_page_bytes);
    source_->unmap_entries(table.hang);
    table.begin = 0;
}

Graves::SmallTable* Graves::hang_table(VirtAddr at) {
    const uint64_t begin = round_down(at.raw, large_page_bytes);
    for (SmallTable& t : tables_)
        if (t.begin == begin) return &t;
    const TableRecord* const above = paging_->find(2, at);
    if (above == nullptr) return nullptr;
    SmallTable& t = tables_[next_table_];
    next_table_ = (next_table_ + 1) % tables;
    take_down(t);
    const uint32_t entry = Paging::entry_of(2, at);
    if (!source_->map_entries(above->table, entry, t.table, 0, abi::write, {}, 1, t.hang))
        return nullptr;
    t.begin = begin;
    return &t;
}

bool Graves::bury(VirtAddr at, unsigned level, Rights rights) {
    const VirtAddr begin = virt(round_down(at.raw, page_bytes));
    CapSlot table{};
    if (level == 1) {
        const TableRecord* const record = paging_->find(1, at);
        if (record == nullptr) return false;
        table = record->table;
    } else {
        const SmallTable* const small = hang_table(at);
        if (small == nullptr) return false;
        table = small->table;
    }
    Page& page = pages_[next_page_];
    next_page_ = (next_page_ + 1) % pages;
    if (page.mapped) source_->unmap_entries(page.mapping);
    page = {page.mapping, false, begin.raw};
    const Rights seen = rights & (abi::read | abi::write);
    const uint32_t entry = Paging::entry_of(1, at);
    page.mapped =
        source_->map_entries(table, entry, frame_, 0, seen, {}, 1, page.mapping).has_value();
    return page.mapped;
}

void Graves::empty(uint64_t begin, uint64_t end) {
    for (Page& page : pages_) {
        if (!page.mapped || page.at < begin || page.at >= end) continue;
        source_->unmap_entries(page.mapping);
        page.mapped = false;
    }
}

void Graves::leave(uint64_t begin, uint64_t end) {
    empty(begin, end);
    for (SmallTable& t : tables_)
        if (t.begin >= begin && t.begin < end) take_down(t);
}

} // namespace os
