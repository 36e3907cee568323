// The machine under one kernel: its own copy of physical memory, of which it may touch what it
// owns, and interrupts to other cores that arrive when the world wants.
#pragma once

#include <array>
#include <bitset>
#include <stdexcept>
#include <sys/mman.h>
#include <vector>

#include "kernel/machine.hpp"

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) (static_cast<void>(0))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) (static_cast<void>(0))
#endif

namespace sim {

constexpr unsigned max_cores = 64;
constexpr unsigned blocks_per_core = 5; // the kernel's, the first domains', and what moves
constexpr unsigned max_blocks = max_cores * blocks_per_core;
constexpr uint64_t ram_base = uint64_t{1} << 30;
constexpr uint32_t first_apic = 100;

/// Broken rules of the run end it: what was broken, for the chart.
struct Broken : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Host memory for every core's window, made once; the pages of it that are never touched cost
/// nothing, and what is left over from the run before is as good as any garbage.
class Arena {
  public:
    explicit Arena(unsigned cores)
        : bytes_{uint64_t{cores} * blocks_per_core * large_page_bytes}, cores_{cores} {
        constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* const got = mmap(nullptr, bytes_ * cores, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (got == MAP_FAILED) throw std::runtime_error("no memory for the windows");
        memory_ = static_cast<std::byte*>(got);
    }

    ~Arena() { munmap(memory_, bytes_ * cores_); }

    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    std::byte* of(unsigned core) const { return memory_ + core * bytes_; }

    unsigned cores() const { return cores_; }

    uint64_t bytes() const { return bytes_; }

  private:
    std::byte* memory_;
    uint64_t bytes_;
    unsigned cores_;
};

constexpr unsigned block_of(uint64_t address) {
    return static_cast<unsigned>((address - ram_base) / large_page_bytes);
}

/// Who owns which block of RAM, as the windows of all cores say.
struct Ownership {
    static constexpr uint8_t nobody = 0xff;
    std::array<uint8_t, max_blocks> owner;
    std::array<uint8_t, max_blocks> late; // whose it was when that core was stopped
    std::vector<unsigned> inherited;      // such blocks, taken over a moment ago

    void clear() {
        owner.fill(nobody);
        late.fill(nobody);
        inherited.clear();
    }

    void take(unsigned core, unsigned block) {
        if (owner[block] != nobody) throw Broken{"two cores own the same block of RAM"};
        owner[block] = static_cast<uint8_t>(core);
        if (late[block] != nobody) inherited.push_back(block);
    }

    /// That core executes nothing more.
    void core_stops(unsigned core) {
        for (size_t i = 0; i < owner.size(); ++i) {
            if (owner[i] != core) continue;
            owner[i] = nobody;
            late[i] = static_cast<uint8_t>(core);
        }
    }

    void leave(unsigned core, unsigned block) {
        if (owner[block] != core) throw Broken{"a core gives up RAM that it does not own"};
        owner[block] = nobody;
    }
};

class SimMachine final : public kernel::Machine {
  public:
    SimMachine(unsigned core, unsigned blocks, const Arena& arena, Ownership& ownership)
        : core_{core}, memory_{arena.of(core)}, ownership_{ownership} {
        ASAN_POISON_MEMORY_REGION(memory_, arena.bytes());
        const uint64_t begin = ram_base + uint64_t{core} * blocks_per_core * large_page_bytes;
        (void)own(phys(begin), phys(begin + blocks * large_page_bytes));
    }

    std::byte* window() const {
        return std::bit_cast<std::byte*>(std::bit_cast<uintptr_t>(memory_) - ram_base);
    }

    void flush_page(VirtAddr) override { ++flushes; }

    void flush_all() override { ++flushes; }

    void send_ipi(ApicId to, uint8_t vector) override { sent = {to.raw, vector}; }

    Result<> start_core(ApicId, uint8_t) override { return {}; }

    void stop_core(ApicId core) override {
        stopped.push_back(core.raw);
        ownership_.core_stops(core.raw - first_apic);
    }

    void hang() override { hangs = true; }

    void disown(PhysAddr begin, PhysAddr end) override {
        for (uint64_t at = begin.raw; at < end.raw; at += large_page_bytes)
            ownership_.leave(core_, block_of(at));
        ASAN_POISON_MEMORY_REGION(memory_ + (begin.raw - ram_base), end - begin);
    }

    Result<> own(PhysAddr begin, PhysAddr end) override {
        const bool first_time = begin.raw >= ram_base && !once_[block_of(begin.raw)];
        const bool late = ownership_.late[block_of(begin.raw)] != Ownership::nobody;
        if (refuse_own && first_time && !late) return fail(Err::no_space);
        for (uint64_t at = begin.raw; at < end.raw; at += large_page_bytes)
            once_[block_of(at)] = true;
        for (uint64_t at = begin.raw; at < end.raw; at += large_page_bytes)
            ownership_.take(core_, block_of(at));
        ASAN_UNPOISON_MEMORY_REGION(memory_ + (begin.raw - ram_base), end - begin);
        return {};
    }

    uint32_t port_in(uint16_t, unsigned) override { return 0; }

    void port_out(uint16_t, unsigned, uint32_t) override {}

    Result<> route_interrupt(uint32_t, abi::InterruptMode, ApicId, uint8_t) override { return {}; }

    void mask_interrupt(uint32_t, bool) override {}

    Instant now() override { return time; }

    uint64_t ticks() override { return static_cast<uint64_t>(time.ns); }

    Duration duration(uint64_t ticks) const override { return {static_cast<int64_t>(ticks)}; }

    struct Interrupt {
        uint32_t apic;
        uint8_t vector; // 0: none
    };

    Instant time{1000};
    std::vector<uint32_t> stopped; // cores' APIC ids, for the world to see
    Interrupt sent{};              // the last one, for the world to pass on
    uint64_t flushes{};
    bool hangs{};
    bool refuse_own{}; // RAM that was never here before: no room for its tables

  private:
    unsigned core_;
    std::byte* memory_;
    Ownership& ownership_;
    std::bitset<max_blocks> once_{};
};

} // namespace sim
