// Page tables of one address space: makes the tables that a mapping needs, when it needs them. Used
// for one's own space and, by the loader, for that of a domain that does not run yet. Pure: what it
// does to the kernel goes through a PagingSource.
#pragma once

#include <concepts>
#include <span>

#include "lib/os/capability.hpp"

namespace os {

constexpr uint64_t huge_page_bytes = uint64_t{1} << 30;

/// Where tables and mappings get memory and slots from, and how they reach the kernel.
class PagingSource {
  public:
    /// A page table, in a slot of this domain's space.
    virtual Result<CapSlot> make_table(Kind kind) = 0;
    /// An empty slot for a Mapping.
    virtual Result<CapSlot> mapping_slot() = 0;
    virtual void drop_mapping_slot(CapSlot slot) = 0;
    virtual Place place(CapSlot slot) const = 0;

    /// A table that hangs nowhere and in which nothing is mapped.
    virtual void drop_table(CapSlot) {}

    /// The invocations. `mapping` is empty before map and after unmap, and stays the caller's.
    virtual Result<> map_entries(
        CapSlot table,
        uint32_t entry,
        CapSlot what,
        uint64_t offset,
        Rights rights,
        abi::MapFlags flags,
        uint64_t count,
        CapSlot mapping
    ) {
        return Table{{table}}.map(entry, what, offset, rights, flags, count, place(mapping));
    }

    virtual void unmap_entries(CapSlot mapping) {
        const Place at = place(mapping);
        (void)CNode{{at.cnode}}.remove(at.index);
    }

    virtual Result<> protect_entries(CapSlot mapping, Rights rights) {
        return Mapping{{mapping}}.protect(rights);
    }

  protected:
    ~PagingSource() = default;
};

struct TableRecord {
    uint64_t key; // first address it covers | level
    CapSlot table, hang;
};

/// What is mapped where and how.
struct Run {
    CapSlot frame;
    uint64_t offset;
    uint64_t bytes;
    Rights rights;
    abi::MapFlags flags{};
    unsigned level{1}; // pages of that level: address, offset, bytes and physical address fit
};

class Paging {
  public:
    /// An entry of a table of `level` covers this much; the table 512 times as much.
    static constexpr uint64_t entry_bytes(unsigned level) {
        return page_bytes << (9 * (level - 1));
    }

    static constexpr uint32_t entry_of(unsigned level, VirtAddr at) {
        return static_cast<uint32_t>(at.raw / entry_bytes(level) % 512);
    }

    constexpr Paging(CapSlot root, PagingSource& source, std::span<TableRecord> records)
        : root_{root}, source_{&source}, records_{records} {}

    /// Maps `run` at `at`; every Mapping it took is told to `taken(mapping, bytes of the run before
    /// it, bytes)`, also those before a failure. What lies in one table is one Mapping.
    template <std::invocable<CapSlot, uint64_t, uint64_t> Taken>
    Result<> map(VirtAddr at, const Run& run, Taken&& taken) {
        const uint64_t covered = 512 * entry_bytes(run.level);
        for (uint64_t done = 0; done < run.bytes;) {
            const uint64_t here = at.raw + done;
            const uint64_t room = round_down(here, covered) + covered - here;
            const uint64_t part = run.bytes - done < room ? run.bytes - done : room;
            const CapSlot mapping = TRY(source_->mapping_slot());
            const auto mapped = map_part(virt(here), run, done, part, mapping);
            if (!mapped) {
                source_->drop_mapping_slot(mapping);
                return mapped;
            }
            taken(mapping, done, part);
            done += part;
        }
        return {};
    }

    /// One Mapping within one table: `bytes` of `run` from `done`, in a slot that the caller has.
    Result<> map_part(VirtAddr at, const Run& run, uint64_t done, uint64_t bytes, CapSlot mapping);

    /// The table of that level that covers `at`, made if need be: out of the spare ones, else anew.
    Result<CapSlot> table(unsigned level, VirtAddr at);
    /// The same, if it exists.
    const TableRecord* find(unsigned level, VirtAddr at) const;

    /// Removes the tables that lie wholly in [begin, end), where nothing is mapped any more.
    void retire(uint64_t begin, uint64_t end);

    /// Makes the spare tables, so that `table` fails for nothing in the next few calls, of which at
    /// most `tables` need one. Errors: quota, no_slots, no_space.
    Result<> stock(size_t tables = 0);

    bool is_stocked() const { return spare_count_[1] == 2 && spare_count_[2] > 0; }

  private:
    // What one fault takes, twice over; the table of level 3 is there from the first mapping on.
    static constexpr std::array<size_t, 3> spares{0, 2, 1}; // by level

    struct Spare { // a table, and a slot for the mapping by which it hangs
        CapSlot table, hang;
    };

    Result<Spare> make_spare(unsigned level);
    Result<Spare> take_spare(unsigned level);
    void drop(const Spare& spare);
    void insert(const TableRecord& record);
    TableRecord* lower_bound(uint64_t key) const;

    CapSlot root_;
    PagingSource* source_;
    std::span<TableRecord> records_; // the first count_ in order of their keys
    size_t count_{};
    std::array<std::array<Spare, 2>, 3> spare_{}; // by level
    std::array<size_t, 3> spare_count_{};
};

} // namespace os
