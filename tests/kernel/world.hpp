// A core on the host: a fake machine that writes down what it is asked, an arena that stands for
// physical memory, and domains made by the same functions as at boot.
#pragma once

#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>
#include <vector>

#include "kernel/answer.hpp"
#include "kernel/core.hpp"
#include "lib/abi/startup.hpp"
#include "tests/kernel/enter.hpp"

namespace kernel_test {

using abi::Kind;
using abi::Op;
using abi::Rights;
using kernel::Core;
using kernel::Dispatcher;
using kernel::Slot;
using kernel::State;

constexpr uint64_t arena_base = uint64_t{1} << 30; // what the arena pretends to be
constexpr uint64_t arena_bytes = 9 * large_page_bytes;
constexpr uint64_t ram_base = arena_base + large_page_bytes; // the first block is the kernel's
constexpr uint64_t ram_bytes = 7 * large_page_bytes;
constexpr uint64_t spare_base = ram_base + ram_bytes; // the last block: nobody's at first
constexpr uint32_t own_apic = 7;

struct FakeMachine final : kernel::Machine {
    std::vector<uint64_t> flushed_pages;
    unsigned flushes{};
    std::vector<std::pair<uint32_t, uint8_t>> ipis;
    std::vector<std::pair<uint32_t, uint8_t>> started;
    std::vector<std::pair<uint64_t, uint64_t>> disowned, owned;
    std::vector<uint32_t> stopped;
    unsigned hangs{};

    struct Route {
        abi::InterruptMode mode;
        uint32_t apic;
        uint8_t vector;
        bool masked;
    };

    std::map<uint32_t, Route> routes;
    std::vector<std::tuple<uint16_t, unsigned, uint32_t>> port_writes;
    Instant time{1000};
    bool start_fails{}, route_fails{}, own_fails{};
    bool only_arena{}; // what is taken over is used: there must be memory

    void flush_page(VirtAddr page) override { flushed_pages.push_back(page.raw); }

    void flush_all() override { ++flushes; }

    void send_ipi(ApicId to, uint8_t vector) override { ipis.emplace_back(to.raw, vector); }

    Result<> start_core(ApicId core, uint8_t page) override {
        if (start_fails) return fail(Err::core_dead);
        started.emplace_back(core.raw, page);
        return {};
    }

    void stop_core(ApicId core) override { stopped.push_back(core.raw); }

    void hang() override { ++hangs; }

    void disown(PhysAddr begin, PhysAddr end) override {
        disowned.emplace_back(begin.raw, end.raw);
    }

    Result<> own(PhysAddr begin, PhysAddr end) override {
        const bool inside = begin.raw >= arena_base && end.raw <= arena_base + arena_bytes;
        if (own_fails || (only_arena && !inside)) return fail(Err::no_space);
        owned.emplace_back(begin.raw, end.raw);
        return {};
    }

    uint32_t port_in(uint16_t port, unsigned width) override { return port * 16u + width; }

    void port_out(uint16_t port, unsigned width, uint32_t value) override {
        port_writes.emplace_back(port, width, value);
    }

    Result<>
    route_interrupt(uint32_t gsi, abi::InterruptMode mode, ApicId core, uint8_t vector) override {
        if (route_fails) return fail(Err::no_device);
        routes[gsi] = {mode, core.raw, vector, true};
        return {};
    }

    void mask_interrupt(uint32_t gsi, bool masked) override { routes[gsi].masked = masked; }

    Instant now() override { return time; }

    uint64_t ticks() override { return static_cast<uint64_t>(time.ns); }

    Duration duration(uint64_t ticks) const override { return {static_cast<int64_t>(ticks)}; }

    /// Forgets what it wrote down.
    void forget() {
        flushed_pages.clear();
        ipis.clear();
        started.clear();
        disowned.clear();
        owned.clear();
        port_writes.clear();
    }
};

/// One arena for all worlds of a fuzzer: to make 18 MiB anew for each input takes longer than to
/// run it. What the kernel takes for itself it clears, so what an earlier one left says nothing.
inline std::byte* kept_arena = nullptr;

inline std::byte* make_arena() {
    if (kept_arena != nullptr) return kept_arena;
    auto* const arena = static_cast<std::byte*>(std::aligned_alloc(large_page_bytes, arena_bytes));
    // memory is not zero when it is handed out; to fill all of it would only take time
    std::memset(arena, 0xa5, 2 * large_page_bytes);
    return arena;
}

/// A domain with the well-known slots of lib/abi/startup.hpp.
struct Domain {
    Dispatcher* dispatcher;
    kernel::CNode* root;
    kernel::CNode* leaf;
    abi::DispatcherPage* page;
    uint64_t quota; // physical base of the RAM in slot 5
};

class World {
  public:
    World()
        : arena_{make_arena()},
          core{std::make_unique<Core>(
              machine,
              kernel::Config{
                  .core = CoreId{{2}},
                  .apic = ApicId{{own_apic}},
                  .tsc_khz = 1'000'000,
                  .tsc_at_start = 77,
                  .window =
                      std::bit_cast<std::byte*>(std::bit_cast<uintptr_t>(arena_) - arena_base),
                  .kernel_root = phys(arena_base),
              }
          )} {
        auto* const kernel_root = at<kernel::PageTable>(arena_base);
        for (size_t i = 0; i < 512; ++i)
            kernel_root->entry[i] = 0x1000 * i + 1;
        must(core->insert_root(ram(), {Kind::ram, ram_base, ram_bytes, abi::all_rights}));
    }

    ~World() {
        if (arena_ != kept_arena) std::free(arena_);
    }

    World(const World&) = delete;
    World& operator=(const World&) = delete;

    static void must(const Result<>& r) {
        if (!r) throw std::logic_error(std::string{text_of(r.error().top())});
    }

    template <class T>
    T* at(uint64_t physical) const {
        return reinterpret_cast<T*>(arena_ + (physical - arena_base));
    }

    Slot& ram() { return core->boot_cnode().slot[0]; }

    Slot& scratch() {
        for (Slot& slot : core->boot_cnode().slot) {
            if (slot.empty() && &slot != &ram()) return slot;
        }
        throw std::logic_error("boot CNode is full");
    }

    /// A fresh object from the boot RAM, its capability in `into`.
    Slot& make(Kind kind, Slot& into, uint64_t bytes = 0) {
        if (bytes == 0) bytes = abi::bytes_of(kind);
        must(core->retype(ram(), kind, next_, bytes, {&into, 1}));
        next_ = round_up(next_ + bytes, page_bytes);
        return into;
    }

    void align(uint64_t to) { next_ = round_up(next_ + ram_base, to) - ram_base; }

    Domain make_domain(uint8_t priority = 8, bool started = true) {
        namespace s = abi::slot;
        Slot& root_slot = make(Kind::cnode, scratch());
        kernel::CNode& root = core->cnode(root_slot);
        Slot& leaf_slot = make(Kind::cnode, root.slot[0]);
        kernel::CNode& leaf = core->cnode(leaf_slot);
        must(core->move(root_slot, leaf.slot[s::root]));
        must(core->copy(leaf_slot, leaf.slot[s::leaf], abi::all_rights));
        make(Kind::dispatcher, leaf.slot[s::dispatcher]);
        make(Kind::address_space, leaf.slot[s::address_space]);
        Slot& page_slot = make(Kind::frame, leaf.slot[12], page_bytes);
        auto* const page = at<abi::DispatcherPage>(page_slot.base);
        *page = {};
        make(Kind::ram, leaf.slot[s::quota], uint64_t{1} << 18);
        must(core->configure(
            leaf.slot[s::dispatcher],
            {&leaf.slot[s::root],
             &leaf.slot[s::address_space],
             &page_slot,
             abi::dispatcher_page_at,
             priority,
             nullptr}
        ));
        Dispatcher& d = core->dispatcher(leaf.slot[s::dispatcher]);
        if (started) must(core->start(d, 0x40'0000, 0x7000, 42));
        return {&d, &root, &leaf, page, leaf.slot[s::quota].base};
    }

    /// An endpoint of `server` with this badge, in `client`'s slot.
    void connect(Domain& server, Domain& client, uint32_t slot, uint64_t badge = 0) {
        Slot& dispatcher = server.leaf->slot[abi::slot::dispatcher];
        must(core->make_endpoint(dispatcher, client.leaf->slot[slot], badge));
    }

    /// One system call of whoever runs now, and the turn after it. The answer is the caller's.
    Dispatcher& invoke(Op op, uint64_t slot, std::initializer_list<uint64_t> arguments = {}) {
        return invoke_raw(static_cast<uint64_t>(op), slot, arguments);
    }

    Dispatcher&
    invoke_raw(uint64_t op, uint64_t slot, std::initializer_list<uint64_t> arguments = {}) {
        Dispatcher& d = *core->current();
        d.registers.rax = op;
        d.registers.rdi = slot;
        for (const auto reg : kernel::word_registers)
            d.registers.*reg = 0;
        size_t i = 0;
        for (const uint64_t a : arguments)
            d.registers.*kernel::word_registers[i++] = a;
        enter(*core);
        core->schedule();
        return d;
    }

    Err call(Op op, uint64_t slot, std::initializer_list<uint64_t> arguments = {}) {
        return status(invoke(op, slot, arguments));
    }

    static Err status(const Dispatcher& d) { return Fault::from_raw(d.registers.rax).top(); }

    static uint64_t value(const Dispatcher& d, size_t i) {
        return d.registers.*kernel::word_registers[i];
    }

    FakeMachine machine;
    std::byte* arena_;
    std::unique_ptr<Core> core;

  private:
    uint64_t next_{};
};

} // namespace kernel_test
