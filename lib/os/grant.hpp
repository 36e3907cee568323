// Pages of RAM by the block: a domain that may ask the memory server asks once for many, and has
// each of them for a few instructions. For servers that hand RAM on; who only needs memory has his
// quota (memory.hpp).
#pragma once

#include <array>

#include "interfaces/memory.hpp"
#include "lib/os/local.hpp"

namespace os {

class PageGrant {
  public:
    static constexpr uint32_t block_pages = 32;
    static constexpr size_t max_blocks = 32;

    explicit PageGrant(CapSlot memory_server) : server_{memory_server} {}

    PageGrant(const PageGrant&) = delete;

    /// A page, zeroed, in a slot of its own. Errors: no_memory, no_space, no_slots.
    Result<CapSlot> take() {
        if (ready_count_ == 0) TRY_VOID(refill());
        return ready_[--ready_count_];
    }

    /// Everything made of it goes. A block whose pages are all back goes to the server, who clears
    /// it. Errors: lent, not_found (it is no page of this grant).
    Result<> give(CapSlot page);

  private:
    struct Block {
        CapSlot ram; // null: the entry is free
        uint64_t base;
        uint32_t out; // pages that did not come back
    };

    Result<> refill();
    Result<uint64_t> cut(CapSlot ram);

    LocalClient<interfaces::memory::Client> server_;
    std::array<Block, max_blocks> blocks_{};
    std::array<CapSlot, block_pages> ready_{};
    uint32_t ready_count_{};
};

} // namespace os
