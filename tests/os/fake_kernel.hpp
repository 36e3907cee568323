// A model of the kernel's page tables for address maps on the host: it refuses what kernel/
// refuses, walks tables like a processor, revokes, and can fail on request.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <vector>

#include "lib/os/address_map.hpp"

namespace os_test {

using abi::CapSlot;
using abi::Kind;
using abi::Rights;

constexpr uint64_t quota_base = uint64_t{4} << 30, foreign_base = uint64_t{64} << 30;
constexpr CapSlot root{{1}};

class FakeKernel final : public os::SpaceSource {
  public:
    struct Page {
        uint64_t physical;
        Rights rights;
        unsigned level;
    };

    explicit FakeKernel(uint64_t quota_bytes) : quota_{os::Extent{0, quota_bytes}} {
        objects_[root.raw] = {.kind = Kind::address_space};
    }

    // -- what tests do --

    unsigned highest{3};
    int fail_after{-1};                // so many takings from now on one fails
    unsigned takings{};                // slots, tables and frames that were asked for
    std::function<void()> after_unmap; // once

    CapSlot foreign_frame(uint64_t bytes, uint64_t at = foreign_base) {
        return add({.kind = Kind::frame, .base = at, .bytes = bytes, .rights = abi::all_rights});
    }

    /// Its owner takes the memory back: every mapping of it and the capability go.
    void revoke(CapSlot frame) {
        const Object gone = objects_.at(frame.raw);
        std::vector<uint32_t> mappings;
        for (const auto& [slot, o] : objects_)
            if (o.kind == Kind::mapping && o.base >= gone.base && o.base < gone.base + gone.bytes)
                mappings.push_back(slot);
        for (uint32_t slot : mappings)
            unmap_entries({{slot}});
        objects_.erase(frame.raw);
    }

    /// The slot holds a frame of other memory.
    void rebase(CapSlot frame, uint64_t base) { objects_.at(frame.raw).base = base; }

    /// What a processor finds.
    std::optional<Page> walk(uint64_t at) const {
        const Object* table = &objects_.at(root.raw);
        for (unsigned level = 4;; --level) {
            const auto entry = static_cast<uint32_t>(at / os::Paging::entry_bytes(level) % 512);
            const auto found = table->entries.find(entry);
            if (found == table->entries.end()) return std::nullopt;
            const Object& mapping = objects_.at(found->second);
            if (!mapping.hangs) {
                const uint64_t size = os::Paging::entry_bytes(level);
                const uint64_t page = mapping.base + (entry - mapping.entry) * size;
                return Page{page + at % size, mapping.rights, level};
            }
            table = &objects_.at(mapping.what);
        }
    }

    uint64_t free_quota() const { return quota_.free_bytes(); }

    size_t slots() const { return objects_.size() + empty_.size(); }

    /// Writes to a page of memory, seen at an address.
    void dirty(uint64_t at) { dirty_.insert(walk(at)->physical / page_bytes); }

    bool is_zero(uint64_t at) const { return !dirty_.contains(walk(at)->physical / page_bytes); }

    // -- SpaceSource --

    Result<CapSlot> make_table(Kind kind) override {
        TRY_VOID(may_take());
        const os::Extent extent = TRY(take(abi::bytes_of(kind), page_bytes));
        return add({.kind = kind, .base = quota_base + extent.begin, .bytes = extent.bytes()});
    }

    void drop_table(CapSlot slot) override {
        const Object table = objects_.at(slot.raw);
        if (!table.entries.empty()) throw std::logic_error{"something is mapped in it"};
        if (table.hung) throw std::logic_error{"it hangs"};
        quota_.release({table.base - quota_base, table.base - quota_base + table.bytes});
        objects_.erase(slot.raw);
    }

    Result<CapSlot> mapping_slot() override {
        TRY_VOID(may_take());
        const CapSlot slot{{next_++}};
        empty_.insert(slot.raw);
        return slot;
    }

    void drop_mapping_slot(CapSlot slot) override {
        if (empty_.erase(slot.raw) == 0) throw std::logic_error{"the slot is not empty"};
    }

    os::Place place(CapSlot slot) const override { return {{}, slot.raw}; }

    Result<> map_entries(
        CapSlot table,
        uint32_t entry,
        CapSlot what,
        uint64_t offset,
        Rights rights,
        abi::MapFlags flags,
        uint64_t count,
        CapSlot mapping
    ) override {
        Object& into = objects_.at(table.raw);
        const unsigned level = abi::table_level(into.kind);
        const auto source = objects_.find(what.raw);
        if (source == objects_.end()) return fail(Err::cap_empty);
        Object& from = source->second;
        if (!empty_.contains(mapping.raw)) throw std::logic_error{"the slot is occupied"};
        if (count == 0 || entry + count > 512) return fail(Err::bad_argument);
        for (uint32_t i = 0; i < count; ++i)
            if (into.entries.contains(entry + i)) return fail(Err::entry_occupied);
        const bool hangs = from.kind != Kind::frame;
        if (hangs) {
            if (abi::table_level(from.kind) + 1 != level || from.hung) return fail(Err::cap_type);
            from.hung = true;
        } else {
            const bool large = (std::to_underlying(flags) & 4) != 0;
            const uint64_t size = os::Paging::entry_bytes(level);
            if (large != (level > 1) || level > highest) return fail(Err::bad_argument);
            if ((from.base + offset) % size != 0) return fail(Err::misaligned);
            if (offset + count * size > from.bytes) return fail(Err::range_bounds);
            if (!from.rights.has(rights)) return fail(Err::cap_rights);
        }
        empty_.erase(mapping.raw);
        objects_[mapping.raw] = {
            .kind = Kind::mapping,
            .base = from.base + offset,
            .bytes = count * os::Paging::entry_bytes(level),
            .rights = rights,
            .table = table.raw,
            .entry = entry,
            .count = static_cast<uint32_t>(count),
            .what = what.raw,
            .most = from.rights,
            .hangs = hangs,
        };
        for (uint32_t i = 0; i < count; ++i)
            into.entries[entry + i] = mapping.raw;
        return {};
    }

    void unmap_entries(CapSlot slot) override {
        const auto found = objects_.find(slot.raw);
        if (found == objects_.end()) return; // was revoked
        const Object mapping = found->second;
        if (mapping.kind != Kind::mapping) throw std::logic_error{"this is no mapping"};
        for (uint32_t i = 0; i < mapping.count; ++i)
            objects_.at(mapping.table).entries.erase(mapping.entry + i);
        if (mapping.hangs) objects_.at(mapping.what).hung = false;
        objects_.erase(slot.raw);
        empty_.insert(slot.raw);
        if (const auto then = std::exchange(after_unmap, nullptr)) then();
    }

    Result<> protect_entries(CapSlot slot, Rights rights) override {
        const auto found = objects_.find(slot.raw);
        if (found == objects_.end()) return fail(Err::cap_empty);
        if (!found->second.most.has(rights)) return fail(Err::cap_rights);
        found->second.rights = rights;
        return {};
    }

    Result<os::FrameObject> make_frame(uint64_t bytes, uint64_t align) override {
        TRY_VOID(may_take());
        const os::Extent extent = TRY(take(bytes, align));
        const bool zeroed = extent.begin >= touched_;
        const CapSlot slot = add(
            {.kind = Kind::frame,
             .base = quota_base + extent.begin,
             .bytes = bytes,
             .rights = abi::all_rights}
        );
        return os::FrameObject{extent, slot, zeroed};
    }

    void unmake_frame(const os::FrameObject& frame) override {
        revoke(frame.slot);
        quota_.release(frame.extent);
        touched_ = std::max(touched_, frame.extent.end);
    }

    Result<os::FrameFacts> look_at(CapSlot frame) override {
        const auto found = objects_.find(frame.raw);
        if (found == objects_.end()) return fail(Err::cap_empty);
        const Object& o = found->second;
        return os::FrameFacts{o.base, o.bytes, o.rights, o.base < foreign_base};
    }

    MutableBytes memory(VirtAddr, uint64_t bytes) override {
        memory_.push_back(std::make_unique<std::vector<std::byte>>(bytes));
        return *memory_.back();
    }

    void zero(VirtAddr at, uint64_t bytes) override {
        for (uint64_t i = 0; i < bytes; i += page_bytes)
            dirty_.erase(walk(at.raw + i)->physical / page_bytes);
    }

    unsigned highest_page_level() override { return highest; }

  private:
    struct Object {
        Kind kind{};
        uint64_t base{}, bytes{};
        Rights rights{};
        // of a table
        std::map<uint32_t, uint32_t> entries; // entry: mapping's slot
        bool hung{};
        // of a mapping
        uint32_t table{}, entry{}, count{}, what{};
        Rights most{};
        bool hangs{}; // of a table
    };

    CapSlot add(Object object) {
        const CapSlot slot{{next_++}};
        objects_[slot.raw] = std::move(object);
        return slot;
    }

    Result<os::Extent> take(uint64_t bytes, uint64_t align) {
        const auto extent = quota_.take(bytes, align);
        if (!extent) return fail(Err::quota);
        return *extent;
    }

    Result<> may_take() {
        ++takings;
        if (fail_after >= 0 && fail_after-- == 0) return fail(Err::no_slots);
        return {};
    }

    os::Extents<512> quota_;
    uint64_t touched_{};
    std::map<uint32_t, Object> objects_;
    std::set<uint32_t> empty_; // taken slots with nothing in them
    std::set<uint64_t> dirty_; // physical pages that are not zero
    uint32_t next_{100};
    std::vector<std::unique_ptr<std::vector<std::byte>>> memory_;
};

} // namespace os_test
