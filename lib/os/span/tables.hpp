// This worker's page tables for what the whole domain sees: made when something is mapped there.
#pragma once

#include "lib/abi/startup.hpp"
#include "lib/os/address_space.hpp"
#include "lib/span/range.hpp"

namespace os {

class SharedTables final : private PagingSource {
  public:
    constexpr SharedTables() = default;

    /// Maps a region that lies in one page table. Answers the slot of the Mapping. Errors: those of
    /// the invocation, no_slots, quota.
    Result<CapSlot> map(const span::Region& region, CapSlot frame);

    /// Takes it away, and says whether it was written through.
    bool unmap(CapSlot mapping);

  private:
    static constexpr size_t most_tables = 160;

    Result<CapSlot> make_table(Kind kind) override;
    Result<CapSlot> mapping_slot() override;
    void drop_mapping_slot(CapSlot slot) override;
    Place place(CapSlot slot) const override;

    Result<CapSlot> table_at(VirtAddr at);

    std::array<TableRecord, most_tables> records_{};
    Paging paging_{abi::slot_at(0, abi::slot::address_space), *this, records_};
};

} // namespace os
