#include "lib/os/address_space.hpp"

#include <algorithm>

namespace os {
namespace {

constexpr Kind kind_of_level(unsigned level) {
    return Kind(std::to_underlying(Kind::page_table) + level - 1);
}

static_assert(kind_of_level(4) == Kind::address_space);

constexpr uint64_t key_of(unsigned level, VirtAddr at) {
    return round_down(at.raw, 512 * Paging::entry_bytes(level)) | level;
}

constexpr unsigned level_of(uint64_t key) {
    return static_cast<unsigned>(key % page_bytes);
}

constexpr abi::MapFlags flags_of(const Run& run) {
    const uint64_t large = run.level > 1 ? std::to_underlying(abi::MapFlags::large) : 0;
    return abi::MapFlags(std::to_underlying(run.flags) | large);
}

} // namespace

TableRecord* Paging::lower_bound(uint64_t key) const {
    const std::span used = records_.first(count_);
    return std::ranges::lower_bound(used, key, {}, &TableRecord::key).base();
}

const TableRecord* Paging::find(unsigned level, VirtAddr at) const {
    const uint64_t key = key_of(level, at);
    const TableRecord* const found = lower_bound(key);
    const bool there = found != records_.data() + count_ && found->key == key;
    return there ? found : nullptr;
}

Result<Paging::Spare> Paging::make_spare(unsigned level) {
    const CapSlot hang = TRY(source_->mapping_slot());
    const auto table = source_->make_table(kind_of_level(level));
    if (table) return Spare{*table, hang};
    source_->drop_mapping_slot(hang);
    return fail(table.error());
}

Result<Paging::Spare> Paging::take_spare(unsigned level) {
    if (level < spare_.size() && spare_count_[level] > 0)
        return spare_[level][--spare_count_[level]];
    return make_spare(level);
}

void Paging::drop(const Spare& spare) {
    source_->drop_mapping_slot(spare.hang);
    source_->drop_table(spare.table);
}

void Paging::insert(const TableRecord& record) {
    TableRecord* const at = lower_bound(record.key);
    TableRecord* const end = records_.data() + count_;
    std::move_backward(at, end, end + 1);
    *at = record;
    ++count_;
}

Result<CapSlot> Paging::table(unsigned level, VirtAddr at) {
    if (level == 4) return root_;
    if (const TableRecord* known = find(level, at)) return known->table;
    const CapSlot above = TRY(table(level + 1, at));
    if (count_ == records_.size()) return fail(Err::no_space);
    const Spare made = TRY(take_spare(level));
    const uint32_t entry = entry_of(level + 1, at);
    const auto hung =
        source_->map_entries(above, entry, made.table, 0, abi::write, {}, 1, made.hang);
    if (!hung) {
        drop(made);
        return fail(hung.error());
    }
    insert({key_of(level, at), made.table, made.hang});
    return made.table;
}

Result<>
Paging::map_part(VirtAddr at, const Run& run, uint64_t done, uint64_t bytes, CapSlot mapping) {
    return source_->map_entries(
        TRY(table(run.level, at)),
        entry_of(run.level, at),
        run.frame,
        run.offset + done,
        run.rights,
        flags_of(run),
        bytes / entry_bytes(run.level),
        mapping
    );
}

void Paging::retire(uint64_t begin, uint64_t end) {
    const auto lies_within = [&](const TableRecord& r) {
        const uint64_t from = round_down(r.key, page_bytes);
        const unsigned level = level_of(r.key);
        return level < 3 && from >= begin && from + 512 * entry_bytes(level) <= end;
    };
    for (unsigned level = 1; level < 3; ++level) {
        TableRecord* kept = lower_bound(begin);
        TableRecord* const last = records_.data() + count_;
        for (const TableRecord& r : std::span{kept, last}) {
            if (level_of(r.key) != level || !lies_within(r)) {
                *kept++ = r;
                continue;
            }
            source_->unmap_entries(r.hang);
            drop({r.table, r.hang});
        }
        count_ = static_cast<size_t>(kept - records_.data());
    }
}

Result<> Paging::stock(size_t tables) {
    if (records_.size() - count_ < tables) return fail(Err::no_space);
    for (unsigned level = 1; level < spare_.size(); ++level) {
        size_t& count = spare_count_[level];
        for (; count < spares[level]; ++count)
            spare_[level][count] = TRY(make_spare(level));
    }
    return {};
}

} // namespace os
