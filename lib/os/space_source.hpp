// What an address space needs besides page tables: frames out of a quota, what a frame is, memory
// set to zero. In a domain lib/os/memory.cpp is behind it, in tests a model of the kernel.
#pragma once

#include "lib/base/bytes.hpp"
#include "lib/os/address_space.hpp"
#include "lib/os/extents.hpp"

namespace os {

struct FrameObject {
    Extent extent; // of the quota
    CapSlot slot{};
    bool zeroed{}; // nobody had it before
};

struct FrameFacts {
    uint64_t base{}, bytes{};
    Rights rights{};
    bool own{}; // part of the quota: nobody else can revoke it
};

class SpaceSource : public PagingSource {
  public:
    /// `bytes` of the quota; aligned also physically, as far as the quota itself is.
    virtual Result<FrameObject> make_frame(uint64_t bytes, uint64_t align) = 0;
    virtual void unmake_frame(const FrameObject& frame) = 0;
    virtual Result<FrameFacts> look_at(CapSlot frame) = 0;
    /// Memory that is mapped at `at` now.
    virtual MutableBytes memory(VirtAddr at, uint64_t bytes) = 0;
    virtual void zero(VirtAddr at, uint64_t bytes) = 0;
    /// The highest level whose entries may be pages: 2, or 3 where the processor has 1 GiB pages.
    virtual unsigned highest_page_level() = 0;

  protected:
    ~SpaceSource() = default;
};

} // namespace os
