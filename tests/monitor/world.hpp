// N monitors in one process, joined by fake channels. Which line travels next is drawn from a
// seed; a channel holds a few lines only, so that peers are slow all the time.
#pragma once

#include "tests/monitor/fake_kernel.hpp"

namespace monitor_test {

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
        CapSlot frame{};
        bool first{};
        CapSlot bell{};

        bool has_bell() const { return bell != abi::null_slot; }
    };

    Result<LinkFrame> make_frame() override;
    void drop_frame(const LinkFrame& frame) override;
    Result<> open(CoreId peer, CapSlot frame, bool first) override;
    void set_bell(CoreId peer, CapSlot doorbell) override;

    void close(CoreId peer) override;

    Bell own_bell() override { return {core_ + 100, 77}; }

    Result<PhysAddr> doorstep() override { return phys(0x1000 * (core_ + 1)); }

    Result<> knock(CoreId to, PhysAddr doorstep, Bell bell, const Knock& what) override;

    /// As if the cores stood in a line.
    Result<LineCost> measure(CoreId there, PhysAddr doorstep, size_t own_place) override {
        EXPECT_EQ(doorstep, phys(0x1000 * (there.raw + 1u)));
        EXPECT_LT(own_place, CostBoard::most_samplers);
        ++measured;
        return LineCost{
            300, 200 + 40u * (there.raw > core_ ? there.raw - core_ : core_ - there.raw)
        };
    }

    void write_lines_for(size_t) override {}

    std::map<unsigned, End> ends;  // by peer
    std::set<uint64_t> own_frames; // whose memory is not back
    unsigned refuse_open{};        // the how-many-th open from now fails; 0 none
    unsigned measured{};

  private:
    World& world_;
    unsigned core_;
};

struct Island {
    Island(World& world, Memory& memory, unsigned core, std::set<unsigned>& stopped)
        : kernel{core, memory, stopped}, links{world, core},
          monitor{std::make_unique<Monitor>(core_id(core), kernel, links)} {}

    FakeKernel kernel;
    FakeLinks links;
    std::unique_ptr<Monitor> monitor;
    std::map<unsigned, Knock> knocks; // by who knocked, and not heard yet
    bool stalled{};                   // neither reads nor writes: a slow peer
};

class World {
  public:
    static constexpr size_t wire_lines = 3;

    World(unsigned cores, uint64_t seed) : random_{seed} {
        for (unsigned core = 0; core < cores; ++core)
            islands.push_back(std::make_unique<Island>(*this, memory, core, stopped));
        for (unsigned core = 0; core < cores; ++core)
            begin(core);
    }

    /// A tree by two.
    static constexpr unsigned parent_of(unsigned core) { return (core - 1) / 2; }

    /// What the hand-over page says.
    void begin(unsigned core) {
        for (unsigned other = 0; other < islands.size(); ++other)
            at(core).set_core(core_id(other), other + 100);
        ASSERT_TRUE(at(core).open_doorstep());
    }

    Monitor& at(unsigned core) { return *islands[core]->monitor; }

    FakeKernel& kernel(unsigned core) { return islands[core]->kernel; }

    /// What core boot and the init of the new core do.
    void start_core(unsigned core) { start_core(core, parent_of(core)); }

    void start_core(unsigned core, unsigned parent) {
        const CapSlot frame = kernel(parent).frame();
        const uint64_t base = kernel(parent).describe(frame)->base;
        const auto bell = at(parent).joint_make(badge_init, core_id(core), frame);
        ASSERT_TRUE(bell);
        const CapSlot there =
            *kernel(core).accept({abi::Kind::frame, abi::read | abi::write, base, 8192, parent});
        const CapSlot back = kernel(core).put(
            {abi::Kind::doorbell, abi::write, abi::core_space + bell->apic, 1, bell->vector}
        );
        ASSERT_TRUE(at(core).join(core_id(parent), there, back));
    }

    void start_all() {
        for (unsigned core = 1; core < islands.size(); ++core)
            start_core(core);
    }

    /// One line into a channel, or out of one; false when nothing can move.
    bool step() {
        if (work_one(draw(static_cast<unsigned>(islands.size())))) return true;
        const unsigned count = static_cast<unsigned>(islands.size());
        const unsigned begin = draw(count * count * 2);
        for (unsigned i = 0; i < count * count * 2; ++i) {
            const unsigned which = (begin + i) % (count * count * 2);
            const unsigned core = which / 2 % count;
            const unsigned peer = which / 2 / count;
            if (core == peer || islands[core]->stalled || stopped.contains(core)) continue;
            if (which % 2 == 0 ? put_line(core, peer) : take_line(core, peer)) return true;
        }
        for (unsigned core = 0; core < count; ++core)
            if (work_one(core)) return true;
        return false;
    }

    /// All cores at the same time handle one message each, in or out, until nothing moves: how long
    /// the longest chain of messages is, when handling one is all that takes time.
    unsigned rounds_to_settle() {
        const unsigned count = static_cast<unsigned>(islands.size());
        for (unsigned round = 0;; ++round) {
            bool moved = false;
            for (unsigned core = 0; core < count; ++core) {
                while (work_one(core))
                    moved = true;
                moved |= handle_one(core);
            }
            if (!moved) return round;
        }
    }

    /// A knock that was not heard yet.
    bool hear_one(unsigned core) {
        auto& knocks = islands[core]->knocks;
        if (knocks.empty() || islands[core]->stalled || stopped.contains(core)) return false;
        const auto [from, knock] = *knocks.begin();
        knocks.erase(knocks.begin());
        at(core).knocked(core_id(from), knock);
        return true;
    }

    /// One bounded piece of what a monitor does by itself.
    bool work_one(unsigned core) {
        if (islands[core]->stalled || stopped.contains(core)) return false;
        if (hear_one(core)) return true;
        if (kernel(core).has_drained()) at(core).look_for_drained();
        if (!at(core).has_work()) return false;
        (void)at(core).work();
        return true;
    }

    /// Of one kind of message, all cores together.
    template <class Kind>
    uint64_t sent() {
        constexpr size_t index = Message{Kind{}}.index();
        uint64_t sum = 0;
        for (const auto& island : islands)
            sum += island->monitor->counters().sent[index];
        return sum;
    }

    uint64_t messages() {
        uint64_t sum = 0;
        for (const auto& island : islands)
            for (const uint64_t count : island->monitor->counters().sent)
                sum += count;
        return sum;
    }

    /// Lent to others, channels between monitors not counted.
    size_t lents(unsigned core) {
        size_t sum = 0;
        at(core).lents().each([&](const Lent& lent) {
            const bool link = std::ranges::any_of(islands[core]->links.ends, [&](const auto& end) {
                return lent.loan != nullptr && end.second.base == lent.loan->range.base;
            });
            if (!link) ++sum;
        });
        return sum;
    }

    /// So much silence that `by` gives `core` up, if it does not answer.
    void give_up(unsigned by, unsigned core) {
        ASSERT_TRUE(at(by).suspect(badge_init, core_id(core)));
        for (unsigned looks = 0; looks < 5; ++looks) {
            settle();
            at(by).look_at_clock();
        }
        settle();
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
    std::set<unsigned> stopped;
    std::set<std::pair<unsigned, unsigned>> late; // from one to the other nothing arrives yet
    uint64_t lines_moved{};

  private:
    bool handle_one(unsigned core) {
        for (unsigned peer = 0; peer < islands.size(); ++peer)
            if (peer != core && take_line(core, peer)) return true;
        for (unsigned peer = 0; peer < islands.size(); ++peer)
            if (peer != core && put_line(core, peer)) return true;
        return false;
    }

    bool put_line(unsigned core, unsigned peer) {
        const auto end = islands[core]->links.ends.find(peer);
        if (end == islands[core]->links.ends.end()) return false;
        auto& out = wires[end->second.base].lines[end->second.first ? 0 : 1];
        if (out.size() >= wire_lines) {
            at(core).no_room(core_id(peer));
            return false;
        }
        const auto message = at(core).next_message(core_id(peer));
        if (!message) return false;
        EXPECT_TRUE(end->second.has_bell()) << "core " << core << " cannot wake core " << peer;
        out.push_back(*message);
        ++lines_moved;
        return true;
    }

    bool take_line(unsigned core, unsigned peer) {
        const auto end = islands[core]->links.ends.find(peer);
        if (end == islands[core]->links.ends.end() || late.contains({peer, core})) return false;
        auto& in = wires[end->second.base].lines[end->second.first ? 1 : 0];
        if (in.empty()) return false;
        const Message message = in.front();
        in.pop_front();
        at(core).receive(core_id(peer), message);
        return true;
    }

    std::mt19937_64 random_;
};

inline Result<> FakeKernel::stop_core(uint32_t apic) {
    stopped_.insert(apic - 100);
    return {};
}

inline Result<> FakeLinks::knock(CoreId to, PhysAddr doorstep, Bell bell, const Knock& what) {
    EXPECT_EQ(doorstep, phys(0x1000 * (to.raw + 1u)));
    EXPECT_EQ(bell, (Bell{to.raw + 100u, 77}));
    EXPECT_FALSE(world_.stopped.contains(core_));
    world_.islands[to.raw]->knocks[core_] = what;
    return {};
}

inline Result<LinkFrame> FakeLinks::make_frame() {
    FakeKernel& kernel = world_.kernel(core_);
    const CapSlot slot = kernel.frame();
    const uint64_t base = kernel.describe(slot)->base;
    own_frames.insert(base);
    return LinkFrame{slot, phys(base), 8192};
}

inline void FakeLinks::drop_frame(const LinkFrame& frame) {
    EXPECT_FALSE(world_.kernel(core_).is_lent(frame.base.raw)) << "the CPU driver keeps it";
    world_.kernel(core_).drop(frame.slot);
    own_frames.erase(frame.base.raw);
}

inline Result<> FakeLinks::open(CoreId peer, CapSlot frame, bool first) {
    close(peer);
    const uint64_t base = TRY(world_.kernel(core_).describe(frame)).base;
    if (refuse_open > 0 && --refuse_open == 0) return fail(Err::no_memory);
    ends[peer.raw] = {.base = base, .frame = frame, .first = first};
    return {};
}

inline void FakeLinks::set_bell(CoreId peer, CapSlot doorbell) {
    const auto what = world_.kernel(core_).describe(doorbell);
    ASSERT_TRUE(what);
    EXPECT_EQ(what->base, abi::core_space + peer.raw + 100u);
    ends[peer.raw].bell = doorbell;
}

inline void FakeLinks::close(CoreId peer) {
    const auto end = ends.find(peer.raw);
    if (end == ends.end()) return;
    drop_frame({end->second.frame, phys(end->second.base), 8192});
    if (end->second.has_bell()) world_.kernel(core_).drop(end->second.bell);
    ends.erase(end);
}

} // namespace monitor_test
