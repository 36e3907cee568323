// The RAM of one core as capabilities: what the bookkeeping decides is carried out here.
#pragma once

#include <array>

#include "interfaces/memory.hpp"
#include "lib/os/local.hpp"
#include "usr/memory/buddy.hpp"

namespace memory {

class Server final : public os::LocalServer {
  public:
    /// Free memory holds canaries from now on, and is looked at before it is granted.
    void check_free_memory() { checked_ = true; }

    rpc::LocalMessage serve(uint64_t badge, const rpc::LocalMessage& message) override {
        return interfaces::memory::serve(*this, badge, message);
    }

    // interfaces::memory::Server
    Result<interfaces::memory::AllocateResult>
    allocate(uint64_t badge, const interfaces::memory::AllocateArguments& arguments);
    Result<interfaces::memory::AllocateDirtyResult>
    allocate_dirty(uint64_t badge, const interfaces::memory::AllocateDirtyArguments& arguments);
    Result<interfaces::memory::AllocateWithinResult>
    allocate_within(uint64_t badge, const interfaces::memory::AllocateWithinArguments& arguments);
    Result<> release(uint64_t badge, const interfaces::memory::ReleaseArguments& arguments);
    Result<interfaces::memory::StateResult> state(uint64_t badge);
    Result<> add(uint64_t badge, const interfaces::memory::AddArguments& arguments);
    Result<interfaces::memory::SpareResult> spare(uint64_t badge);
    void discard(abi::CapSlot slot);

  private:
    struct Region {
        os::OwnedCap ram; // null: the entry is free
        PhysAddr base;
        uint64_t bytes;
        bool foreign;
    };

    /// Pages that are carved and cleared ahead, so that most need neither.
    static constexpr uint32_t ready_pages = 16;

    Result<abi::CapSlot> grant(uint64_t bytes);
    Result<abi::CapSlot> hand_out(const Block& block, Use use);
    Result<abi::CapSlot> ready_page();
    Result<> make_pages_ready();
    Result<> forget_ready();
    Result<> carve(const Block& first, abi::CapSlot to, uint32_t count) const;
    Result<> prepare(const Block& block, bool zeroed);
    Result<> fill(uint16_t root, PhysAddr base, uint64_t bytes);

    Buddy buddy_;
    std::array<Region, 32> regions_{};
    std::array<abi::CapSlot, ready_pages> ready_{};
    uint32_t ready_count_{};
    bool checked_{};
    uint64_t damaged_words_{};
};

} // namespace memory
