// The RAM of one core as capabilities: what the bookkeeping decides is carried out here.
#pragma once

#include <array>

#include "interfaces/memory.hpp"
#include "lib/os/local.hpp"
#include "usr/memory/buddy.hpp"

namespace memory {

class Server final : public os::LocalServer {
  public:
    rpc::LocalMessage serve(uint64_t badge, const rpc::LocalMessage& message) override {
        return interfaces::memory::serve(*this, badge, message);
    }

    // interfaces::memory::Server
    Result<interfaces::memory::AllocateResult>
    allocate(uint64_t badge, const interfaces::memory::AllocateArguments& arguments);
    Result<interfaces::memory::AllocateDirtyResult>
    allocate_dirty(uint64_t badge, const interfaces::memory::AllocateDirtyArguments& arguments);
    Result<> release(uint64_t badge, const interfaces::memory::ReleaseArguments& arguments);
    Result<interfaces::memory::StateResult> state(uint64_t badge);
    Result<> add(uint64_t badge, const interfaces::memory::AddArguments& arguments);
    void discard(abi::CapSlot slot);

  private:
    struct Region {
        abi::CapSlot ram;
        PhysAddr base;
    };

    Result<abi::CapSlot> grant(uint64_t bytes, bool zeroed);
    Result<abi::CapSlot> carve(const Block& block) const;

    Buddy buddy_;
    std::array<Region, 32> regions_{};
    uint16_t region_count_{};
};

} // namespace memory
