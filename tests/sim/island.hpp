// One core of the simulated machine: the kernel, the monitor with its two seams, and the domains
// that are there from the start, the spawner and the memory server.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "monitor/monitor.hpp"
#include "monitor/server.hpp"
#include "tests/sim/actor.hpp"
#include "tests/sim/chart.hpp"
#include "tests/sim/wires.hpp"

namespace sim {

constexpr uint32_t apic_of(unsigned core) {
    return core + first_apic;
}

inline CoreId core_id(unsigned core) {
    return {{static_cast<uint8_t>(core)}};
}

/// The monitor's Kernel seam by system calls of the monitor's own dispatcher.
class SimKernel final : public monitor::Kernel, public monitor::CoreFigures {
  public:
    void begin(Actor& actor, CapSlot core, CapSlot cores);

    Result<monitor::Described> describe(CapSlot slot) override;
    Result<CapSlot> copy(CapSlot slot) override;
    Result<CapSlot> accept(const monitor::Described& what) override;
    Result<CapSlot> lend(CapSlot frame) override;
    Result<CapSlot> recall(CapSlot loan, Rights rights) override;
    Result<> mark(CapSlot slot) override;
    void unmark(CapSlot slot) override;
    Result<> revoke_step(CapSlot slot) override;
    Result<bool> give(CapSlot ram) override;
    Result<bool> start_core(uint32_t apic, CapSlot ram, uint32_t start_page) override;
    Result<> regain(CapSlot loan) override;
    Result<CapSlot> split(CapSlot loan, uint64_t offset) override;
    monitor::Drained drained() override;
    Result<monitor::Bell> vector_of(CapSlot doorbell) override;
    Result<CapSlot> endpoint(uint64_t badge) override;
    void drop(CapSlot slot) override;
    Result<> give_up(CapSlot slot) override;
    void ring(CapSlot doorbell) override;
    Result<> stop_core(uint32_t apic) override;
    void hang() override;
    Result<std::array<uint64_t, 4>> core_info(uint32_t, uint32_t) override;

    Result<CapSlot> names_table() override { return fail(Err::unsupported); }

    Result<CapSlot> costs_table() override { return fail(Err::unsupported); }

    Result<> watch(CapSlot slot, uint64_t bit);
    Result<CapSlot> take();

    void release(CapSlot slot) { free_[free_count_++] = static_cast<uint16_t>(slot.raw); }

    /// Slots in use; the monitor's own are not counted.
    unsigned used() const { return total_ - free_count_; }

    Actor& actor() { return *actor_; }

  private:
    template <class Make>
    Result<CapSlot> into_new_slot(Make&& make);

    Actor* actor_{};
    CapSlot core_{}, cores_{};
    std::array<uint16_t, Actor::max_leafs * abi::cnode_slots> free_{};
    unsigned free_count_{}, total_{};
};

class SimLinks final : public monitor::Links {
  public:
    void begin(unsigned core, SimKernel& kernel, Wires& wires, monitor::Bell bell);

    Result<monitor::LinkFrame> make_frame() override;

    void drop_frame(const monitor::LinkFrame& frame) override { kernel_->drop(frame.slot); }

    Result<> open(CoreId peer, CapSlot frame, bool first) override;
    void set_bell(CoreId peer, CapSlot doorbell) override;
    void close(CoreId peer) override;

    monitor::Bell own_bell() override { return bell_; }

    Result<PhysAddr> doorstep() override { return phys(page_bytes * (core_ + 1)); }

    Result<>
    knock(CoreId to, PhysAddr doorstep, monitor::Bell bell, const monitor::Knock& what) override;

    Result<monitor::LineCost> measure(CoreId there, PhysAddr, size_t) override {
        return monitor::LineCost{300, 200 + 8u * there.raw};
    }

    void write_lines_for(size_t) override {}

    LinkEnd& end(unsigned peer) { return ends_[peer]; }

    Line& out(unsigned peer);
    Line& in(unsigned peer);

    /// The monitor's own memory, from which channel frames come.
    CapSlot quota{};
    uint64_t quota_used{};

  private:
    unsigned core_{};
    SimKernel* kernel_{};
    Wires* wires_{};
    monitor::Bell bell_{};
    std::array<LinkEnd, max_cores> ends_{};
};

class Island;

/// A local call of an actor to a server of its core, as generated clients want it.
class Port final : public rpc::LocalEndpoint {
  public:
    Port(Island& island, Actor& caller, CapSlot endpoint)
        : island_{island}, caller_{caller}, endpoint_{endpoint} {}

    Result<rpc::LocalMessage> call(const rpc::LocalMessage& message) override;

  private:
    Island& island_;
    Actor& caller_;
    CapSlot endpoint_;
};

/// Who answers local calls besides the monitor.
class LocalService {
  public:
    virtual rpc::LocalMessage serve(uint64_t badge, const rpc::LocalMessage& message) = 0;

  protected:
    ~LocalService() = default;
};

class Island final : public WakeUps {
  public:
    /// `blocks` of RAM, three at least: it may have been stopped, and have less now.
    Island(unsigned core, unsigned blocks, const Arena& arena, Ownership& owners, Wires& wires);
    Island(const Island&) = delete;
    Island& operator=(const Island&) = delete;

    /// The first domains get their endpoints of the monitor; all are asleep then.
    void attach_first_domains();

    /// `work()` as the monitor's own turn: woken by its vector, asleep again afterwards.
    template <class Work>
    void as_monitor(Work&& work) {
        in_turn_ = true;
        wake(monitor_actor);
        work();
        sleep(monitor_actor);
        in_turn_ = false;
    }

    /// The same for the memory server.
    template <class Work>
    auto as_memory(Work&& work) {
        wake(memory);
        const auto result = work();
        sleep(memory);
        return result;
    }

    /// The server that a call has switched to answers it.
    void answer_call();

    /// The monitor was rung while somebody else had a turn: it notes why, and sleeps on.
    void absorb_wake_up() override;

    // -- making domains at boot, with the kernel's own functions --
    kernel::Slot& boot_object(Kind kind, kernel::Slot& into, uint64_t bytes = 0);
    void make_actor(Actor& actor, unsigned leafs, uint8_t priority);
    void boot_endpoint(Actor& server, Actor& client, uint32_t slot, uint64_t badge);

    unsigned index;
    SimMachine machine;
    kernel::Core core;
    SimKernel kernel;
    SimLinks links;
    std::unique_ptr<monitor::Monitor> monitor_memory;
    monitor::Monitor& monitor;
    monitor::Server server;
    Actor monitor_actor, spawner, memory;
    LocalService* memory_service{};
    bool dead{};              // it executes nothing
    bool leaves{};            // it has said so
    uint32_t stalled_until{}; // a step: until then nothing happens on this core
    uint8_t monitor_vector{};
    bool something_drained{}; // the kernel has said so; the monitor has yet to
                              // look

  private:
    static void must(const Result<>& done, const char* what = "a step of boot fails");
    void wake(Actor& actor);
    void sleep(Actor& actor);
    void note_events(Actor& actor);
    rpc::LocalMessage serve(Actor& actor, uint64_t badge, const rpc::LocalMessage& message);

    static constexpr uint64_t drained_bit = 3; // of the monitor's events

    uint64_t boot_next_{};
    bool in_turn_{}; // the monitor, or a server that is called, is at work
};

} // namespace sim
