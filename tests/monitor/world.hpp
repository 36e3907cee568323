// N monitors in one process, joined by fake channels. Which line travels next is drawn from a
// seed; a channel holds a few lines only, so that peers are slow all the time.
#pragma once

#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "monitor/monitor.hpp"

namespace monitor_test {

using namespace monitor;

inline CoreId core_id(unsigned index) {
    return {{static_cast<uint8_t>(index)}};
}

inline uint64_t first_seed() {
    const char* const text = std::getenv("SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 0) : 1;
}

/// Which core owns which frame: what CPU drivers decide by their own RAM.
struct Memory {
    std::map<uint64_t, unsigned> owner;
    uint64_t next{0x10'0000};

    uint64_t make(unsigned core, uint64_t bytes) {
        const uint64_t base = next;
        next += bytes;
        owner[base] = core;
        return base;
    }
};

class FakeKernel : public Kernel {
  public:
    FakeKernel(unsigned core, Memory& memory) : core_{core}, memory_{memory} {}

    CapSlot put(const Described& what) {
        const CapSlot slot{{next_++}};
        slots[slot] = what;
        return slot;
    }

    CapSlot frame(uint64_t bytes = 8192) {
        return put({abi::Kind::frame, abi::all_rights, memory_.make(core_, bytes), bytes, 0});
    }

    /// A doorbell of this core: `badge` tells whose it is.
    CapSlot doorbell(uint64_t badge) {
        return put({abi::Kind::doorbell, abi::all_rights, 0x9000 + badge, 1, badge});
    }

    Result<Described> describe(CapSlot slot) override {
        const auto found = slots.find(slot);
        if (found == slots.end()) return fail(Err::cap_empty);
        return found->second;
    }

    Result<CapSlot> copy(CapSlot slot) override { return put(TRY(describe(slot))); }

    Result<CapSlot> accept(const Described& what) override {
        const bool is_frame = what.kind == abi::Kind::frame;
        if (is_frame && (!memory_.owner.contains(what.base) || memory_.owner[what.base] == core_))
            return fail(Err::range_in_use);
        if (refuse_accept > 0 && --refuse_accept == 0) return fail(Err::no_slots);
        return put(what);
    }

    Result<CapSlot> lend(CapSlot frame) override {
        const Described what = TRY(describe(frame));
        if (memory_.owner[what.base] != core_) return fail(Err::foreign);
        return put({abi::Kind::loan, abi::no_rights, what.base, what.bytes, 0});
    }

    Result<Bell> vector_of(CapSlot doorbell) override {
        const Described what = TRY(describe(doorbell));
        if (what.base >= abi::core_space) return fail(Err::foreign);
        return Bell{core_ + 100, static_cast<uint32_t>(what.badge)};
    }

    Result<CapSlot> endpoint(uint64_t badge) override {
        return put({abi::Kind::endpoint, abi::write | abi::copy, 0x8000, 1, badge});
    }

    void drop(CapSlot slot) override {
        EXPECT_EQ(slots.erase(slot), 1u) << "dropped twice on core " << core_;
    }

    Result<> give_up(CapSlot slot) override {
        const Described what = TRY(describe(slot));
        std::erase_if(slots, [&](const auto& entry) {
            return entry.second.kind == what.kind && entry.second.base == what.base;
        });
        return {};
    }

    void ring(CapSlot doorbell) override {
        const auto what = describe(doorbell);
        ASSERT_TRUE(what && what->kind == abi::Kind::doorbell);
        ++rings[what->badge];
    }

    size_t count(abi::Kind kind) const {
        size_t sum = 0;
        for (const auto& [slot, what] : slots)
            if (what.kind == kind) ++sum;
        return sum;
    }

    std::map<CapSlot, Described> slots;
    std::map<uint64_t, unsigned> rings; // by badge of the doorbell
    unsigned refuse_accept{};           // the how-many-th accept from now fails; 0 none

  private:
    unsigned core_;
    Memory& memory_;
    uint32_t next_{1};
};

/// Lines lie in the frame: both directions, whether or not the other side has mapped it.
struct Wire {
    std::deque<Message> lines[2];
};

class World;

class FakeLinks : public Links {
  public:
    FakeLinks(World& world, unsigned core) : world_{world}, core_{core} {}

    struct End {
        uint64_t base{};
        bool first{};
        bool has_bell{};
    };

    Result<LinkFrame> make_frame() override;
    Result<> open(CoreId peer, CapSlot frame, bool first) override;
    void set_bell(CoreId peer, CapSlot doorbell) override;

    void close(CoreId peer) override { ends.erase(peer.raw); }

    Bell own_bell() override { return {core_ + 100, 77}; }

    std::map<unsigned, End> ends; // by peer

  private:
    World& world_;
    unsigned core_;
};

struct Island {
    Island(World& world, Memory& memory, unsigned core)
        : kernel{core, memory}, links{world, core},
          monitor{std::make_unique<Monitor>(core_id(core), kernel, links)} {}

    FakeKernel kernel;
    FakeLinks links;
    std::unique_ptr<Monitor> monitor;
    bool stalled{}; // neither reads nor writes: a slow peer
};

class World {
  public:
    static constexpr size_t wire_lines = 3;

    World(unsigned cores, uint64_t seed) : random_{seed} {
        for (unsigned core = 0; core < cores; ++core)
            islands.push_back(std::make_unique<Island>(*this, memory, core));
        for (unsigned core = 0; core < cores; ++core)
            at(core).set_core(core_id(core), core + 100);
        for (unsigned core = 1; core < cores; ++core)
            at(0).set_core(core_id(core), core + 100);
    }

    Monitor& at(unsigned core) { return *islands[core]->monitor; }

    FakeKernel& kernel(unsigned core) { return islands[core]->kernel; }

    /// What core boot and the init of the new core do.
    void start_core(unsigned core) {
        const CapSlot frame = kernel(0).frame();
        const uint64_t base = kernel(0).describe(frame)->base;
        const auto bell = at(0).joint_make(badge_init, core_id(core), frame);
        ASSERT_TRUE(bell);
        const CapSlot there =
            kernel(core).put({abi::Kind::frame, abi::read | abi::write, base, 8192, 0});
        const CapSlot back = kernel(core).put(
            {abi::Kind::doorbell, abi::write, abi::core_space + bell->apic, 1, bell->vector}
        );
        ASSERT_TRUE(at(core).join(there, back));
    }

    void start_all() {
        for (unsigned core = 1; core < islands.size(); ++core)
            start_core(core);
    }

    /// One line into a channel, or out of one; false when nothing can move.
    bool step() {
        const unsigned count = static_cast<unsigned>(islands.size());
        const unsigned begin = draw(count * count * 2);
        for (unsigned i = 0; i < count * count * 2; ++i) {
            const unsigned which = (begin + i) % (count * count * 2);
            const unsigned core = which / 2 % count;
            const unsigned peer = which / 2 / count;
            if (core == peer || islands[core]->stalled) continue;
            if (which % 2 == 0 ? put_line(core, peer) : take_line(core, peer)) return true;
        }
        return false;
    }

    void settle() {
        for (unsigned steps = 0; step(); ++steps)
            ASSERT_LT(steps, 1'000'000u) << "the monitors never come to rest";
    }

    unsigned draw(unsigned below) {
        return static_cast<unsigned>(std::uniform_int_distribution<unsigned>{0, below - 1}(random_)
        );
    }

    void expect_no_bad_messages() {
        for (unsigned core = 0; core < islands.size(); ++core) {
            EXPECT_EQ(at(core).counters().bad_messages, 0u) << "core " << core;
            EXPECT_EQ(at(core).counters().lost_words, 0u) << "core " << core;
        }
    }

    Memory memory;
    std::vector<std::unique_ptr<Island>> islands;
    std::map<uint64_t, Wire> wires; // by base of the frame
    uint64_t lines_moved{};

  private:
    bool put_line(unsigned core, unsigned peer) {
        const auto end = islands[core]->links.ends.find(peer);
        if (end == islands[core]->links.ends.end()) return false;
        auto& out = wires[end->second.base].lines[end->second.first ? 0 : 1];
        if (out.size() >= wire_lines) return false;
        const auto message = at(core).next_message(core_id(peer));
        if (!message) return false;
        EXPECT_TRUE(end->second.has_bell) << "core " << core << " cannot wake core " << peer;
        out.push_back(*message);
        ++lines_moved;
        return true;
    }

    bool take_line(unsigned core, unsigned peer) {
        const auto end = islands[core]->links.ends.find(peer);
        if (end == islands[core]->links.ends.end()) return false;
        auto& in = wires[end->second.base].lines[end->second.first ? 1 : 0];
        if (in.empty()) return false;
        const Message message = in.front();
        in.pop_front();
        at(core).receive(core_id(peer), message);
        return true;
    }

    std::mt19937_64 random_;
};

inline Result<LinkFrame> FakeLinks::make_frame() {
    FakeKernel& kernel = world_.kernel(core_);
    const CapSlot slot = kernel.frame();
    return LinkFrame{slot, phys(kernel.describe(slot)->base), 8192};
}

inline Result<> FakeLinks::open(CoreId peer, CapSlot frame, bool first) {
    ends[peer.raw] = {.base = TRY(world_.kernel(core_).describe(frame)).base, .first = first};
    return {};
}

inline void FakeLinks::set_bell(CoreId peer, CapSlot doorbell) {
    const auto what = world_.kernel(core_).describe(doorbell);
    ASSERT_TRUE(what);
    EXPECT_EQ(what->base, abi::core_space + peer.raw + 100u);
    ends[peer.raw].has_bell = true;
}

/// A domain: it attached both its doorbells.
struct Domain {
    World& world;
    unsigned core;
    uint32_t badge;

    Domain(World& w, unsigned c, uint32_t id, std::string_view name = "domain")
        : world{w}, core{c}, badge{id} {
        const auto endpoint = monitor().new_client(badge_spawn, badge, name);
        EXPECT_TRUE(endpoint);
        if (endpoint) kernel().drop(*endpoint);
        EXPECT_TRUE(monitor().attach(badge, kernel().doorbell(badge)));
        EXPECT_TRUE(monitor().attach_channels(badge, kernel().doorbell(badge + 1000)));
    }

    Monitor& monitor() { return world.at(core); }

    FakeKernel& kernel() { return world.kernel(core); }

    Result<uint32_t> bind(std::string_view name, bool wait = false) {
        return monitor().bind(badge, name, wait, kernel().frame());
    }

    /// The next notice; the capability that came with it is described, then dropped.
    News next() {
        const auto news = monitor().next(badge);
        EXPECT_TRUE(news);
        more.reset();
        if (news->more != abi::null_slot) {
            more = *kernel().describe(news->more);
            kernel().drop(news->more);
        }
        return *news;
    }

    /// Answers one `incoming` as a server does; its number, or nothing.
    std::optional<uint32_t> accept_one(Fault status = Err::none) {
        const News news = next();
        if (news.notice != Notice::incoming) return std::nullopt;
        EXPECT_TRUE(more && more->kind == abi::Kind::frame);
        const auto bell = monitor().take_bell(badge, news.binding);
        EXPECT_TRUE(bell);
        if (bell) kernel().drop(*bell);
        EXPECT_TRUE(monitor().answer(badge, news.binding, status));
        return news.binding;
    }

    void die() { EXPECT_TRUE(monitor().client_gone(badge_spawn, badge)); }

    std::optional<Described> more;
};

} // namespace monitor_test
