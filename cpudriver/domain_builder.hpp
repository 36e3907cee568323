// Builds the objects and the address space of one domain out of one piece of RAM, front to back,
// by the kernel's own plans. Capabilities that have no well-known slot go into the last leaf.
#pragma once

#include <array>

#include "kernel/core.hpp"
#include "lib/abi/boot_info.hpp"
#include "lib/base/elf.hpp"
#include "lib/base/result.hpp"

namespace cpu {

class DomainBuilder {
  public:
    explicit DomainBuilder(kernel::Core& core) : core_{core} {}

    // In this order: the RAM; root CNode and leaves; the address space's slot.
    Result<> take_quota(abi::MemoryRange ram);
    Result<> make_cnodes(uint32_t leaves);

    void set_space(kernel::Slot& address_space) { space_ = &address_space; }

    kernel::CNode& leaf(uint32_t index) const { return core_.cnode(root().slot[index]); }

    uint64_t quota_used() const { return used_; }

    /// An object of fixed size. Errors: no_memory.
    Result<> object(kernel::Kind kind, kernel::Slot& into);
    /// Zeroed memory. Errors: no_memory.
    Result<> frame(uint64_t bytes, kernel::Slot& into);
    void* contents(const kernel::Slot& frame) const;

    /// The whole frame, with the tables it needs. Errors: no_memory, no_slots, entry_occupied.
    Result<> map(VirtAddr at, kernel::Slot& frame, abi::Rights rights);
    Result<> map_part(VirtAddr at, kernel::Slot& frame, abi::MemoryRange part, abi::Rights rights);
    /// A new frame, mapped.
    Result<kernel::Slot*> memory(VirtAddr at, uint64_t bytes, abi::Rights rights);
    Result<> load(const elf::Segment& segment);
    /// The same without a copy: its pages are those of `frame` from `offset` on.
    Result<> show(const elf::Segment& segment, kernel::Slot& frame, uint64_t offset);

  private:
    struct Table {
        unsigned level;
        uint64_t prefix; // of the addresses it covers
        kernel::Slot* slot;
    };

    kernel::CNode& root() const { return core_.cnode(*root_); }

    Result<> take(kernel::Kind kind, uint64_t bytes, kernel::Slot& into);
    Result<kernel::Slot*> own_slot();
    Result<kernel::Slot*> table(VirtAddr at, unsigned level);

    kernel::Core& core_;
    kernel::Slot* quota_{};
    kernel::Slot* root_{};
    kernel::Slot* space_{};
    uint64_t used_{};
    uint32_t own_leaf_{}, next_own_{};
    std::array<Table, 32> tables_{};
    size_t table_count_{};
};

} // namespace cpu
