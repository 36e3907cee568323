// Page tables of one address space: makes the tables that a mapping needs, when it needs them. Used
// for one's own space and, by the loader, for that of a domain that does not run yet.
#pragma once

#include <concepts>
#include <span>

#include "lib/os/capability.hpp"

namespace os {

/// Where tables and mappings get memory and slots from.
class PagingSource {
  public:
    /// A page table, in a slot of this domain's space.
    virtual Result<CapSlot> make_table(Kind kind) = 0;
    /// An empty slot for a Mapping.
    virtual Result<CapSlot> mapping_slot() = 0;
    virtual void drop_mapping_slot(CapSlot slot) = 0;
    virtual Place place(CapSlot slot) const = 0;

  protected:
    ~PagingSource() = default;
};

struct TableRecord {
    uint64_t begin; // first address it covers
    CapSlot slot;
    unsigned level;
};

/// What is mapped where and how.
struct Run {
    CapSlot frame;
    uint64_t offset;
    uint64_t bytes;
    Rights rights;
    abi::MapFlags flags;
    bool large; // 2 MiB pages: address, offset, bytes and physical address fit
};

class Paging {
  public:
    /// Pages of a table of `level` cover this much each; a table 512 times as much.
    static constexpr uint64_t entry_bytes(unsigned level) {
        return page_bytes << (9 * (level - 1));
    }

    constexpr Paging(CapSlot root, PagingSource& source, std::span<TableRecord> records)
        : root_{root}, source_{&source}, records_{records} {}

    /// Maps `run` at `at`; every Mapping it took is told to `taken`, also those before a failure.
    template <std::invocable<CapSlot> Taken>
    Result<> map(VirtAddr at, const Run& run, Taken&& taken) {
        const unsigned level = run.large ? 2 : 1;
        const uint64_t covered = 512 * entry_bytes(level);
        for (uint64_t done = 0; done < run.bytes;) {
            const uint64_t here = at.raw + done;
            const uint64_t room = round_down(here, covered) + covered - here;
            const uint64_t part = run.bytes - done < room ? run.bytes - done : room;
            taken(TRY(map_part(virt(here), run, done, part)));
            done += part;
        }
        return {};
    }

    /// One page, into tables that exist, with a mapping slot the caller has: cannot run out of
    /// anything.
    Result<> map_page(VirtAddr at, CapSlot frame, CapSlot mapping);

  private:
    Result<CapSlot> map_part(VirtAddr at, const Run& run, uint64_t done, uint64_t bytes);
    Result<CapSlot> table(unsigned level, VirtAddr at);
    const TableRecord* find(unsigned level, VirtAddr at) const;

    CapSlot root_;
    PagingSource* source_;
    std::span<TableRecord> records_;
    size_t count_{};
};

} // namespace os
