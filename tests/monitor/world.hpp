// N monitors in one process, joined by fake channels. Which line travels next is drawn from a
// seed; a channel holds a few lines only, so that peers are slow all the time.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/strong.hpp"
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

/// Which core owns which memory: what CPU drivers decide by their own RAM.
struct Memory {
    std::map<uint64_t, unsigned> owner; // by base of a frame, or of a block of RAM
    uint64_t next{0x10'0000};

    uint64_t make(unsigned core, uint64_t bytes) {
        const uint64_t base = next;
        next += bytes;
        owner[base] = core;
        return base;
    }

    bool is_of(unsigned core, uint64_t base) const {
        const auto found = owner.upper_bound(base);
        return found != owner.begin() && std::prev(found)->second == core;
    }
};

/// As much of a CPU driver as the protocol can see. Slots of the monitor and of the domains are in
/// one map: what a domain was given stays here until the test drops it.
class FakeKernel : public Kernel {
  public:
    FakeKernel(unsigned core, Memory& memory, std::set<unsigned>& stopped)
        : core_{core}, memory_{memory}, stopped_{stopped} {}

    struct Cap : Described {
        bool keeper{}, given{};
    };

    CapSlot insert(const Cap& what) {
        const CapSlot slot{{next_++}};
        slots[slot] = what;
        return slot;
    }

    CapSlot put(const Described& what) { return insert(Cap{what, false, false}); }

    CapSlot frame(uint64_t bytes = 8192) {
        return put({abi::Kind::frame, abi::all_rights, memory_.make(core_, bytes), bytes});
    }

    CapSlot ram(uint64_t bytes = large_page_bytes) {
        memory_.next = round_up(memory_.next, large_page_bytes);
        return put({abi::Kind::ram, abi::all_rights, memory_.make(core_, bytes), bytes});
    }

    /// A frame out of RAM, which stays where it is.
    CapSlot frame_of(CapSlot ram, uint64_t offset, uint64_t bytes = 8192) {
        return put({abi::Kind::frame, abi::all_rights, slots.at(ram).base + offset, bytes});
    }

    /// A doorbell of this core: `badge` tells whose it is.
    CapSlot doorbell(uint64_t badge) {
        return put({abi::Kind::doorbell, abi::all_rights, 0x9000 + badge, 1, badge});
    }

    Result<Described> describe(CapSlot slot) override {
        const auto found = slots.find(slot);
        if (found == slots.end()) return fail(Err::cap_empty);
        Described what = found->second;
        what.idle = found->second.keeper && uses(what.base) == 0;
        return what;
    }

    Result<CapSlot> copy(CapSlot slot) override {
        Described what = TRY(describe(slot));
        if (is_marked(what)) return fail(Err::revoking);
        if (refuse_copy > 0 && --refuse_copy == 0) return fail(Err::no_slots);
        what.idle = false;
        return put(what);
    }

    Result<CapSlot> accept(const Described& what) override {
        const bool is_memory = what.kind == abi::Kind::frame || what.kind == abi::Kind::ram;
        if (is_memory && memory_.is_of(core_, what.base)) return fail(Err::range_in_use);
        if (refuse_accept > 0 && --refuse_accept == 0) return fail(Err::no_slots);
        Cap cap{what, false, false};
        if (what.kind == abi::Kind::ram) memory_.owner[what.base] = core_;
        cap.keeper = cap.borrowed = what.kind == abi::Kind::frame;
        return insert(cap);
    }

    Result<CapSlot> lend(CapSlot frame) override {
        const Described what = TRY(describe(frame));
        if (what.borrowed || !memory_.is_of(core_, what.base)) return fail(Err::foreign);
        if (is_marked(what)) return fail(Err::revoking);
        return put({abi::Kind::loan, what.rights, what.base, what.bytes});
    }

    Result<CapSlot> recall(CapSlot loan, abi::Rights rights) override {
        const Described what = TRY(describe(loan));
        EXPECT_EQ(what.kind, abi::Kind::loan);
        if (is_marked(what)) return fail(Err::revoking);
        return put({abi::Kind::frame, rights & what.rights, what.base, what.bytes});
    }

    Result<> mark(CapSlot slot) override {
        const Described what = TRY(describe(slot));
        EXPECT_LT(marks.size(), Monitor::revokes_at_a_time);
        marks[slot] = {what.base, what.bytes};
        return {};
    }

    void unmark(CapSlot slot) override { marks.erase(slot); }

    /// Two capabilities a call.
    Result<> revoke_step(CapSlot slot) override {
        const Described what = TRY(describe(slot));
        const Range range{what.base, what.bytes};
        unsigned gone = 0;
        bool lent = false;
        for (auto it = slots.begin(); it != slots.end();) {
            const auto at = it++;
            const Described& other = at->second;
            const bool meant = at->first != slot && other.kind != abi::Kind::doorbell &&
                               range.contains({other.base, other.bytes});
            if (!meant) continue;
            lent |= other.kind == abi::Kind::loan;
            if (other.kind == abi::Kind::loan) continue;
            if (gone++ == 2) return fail(Err::again);
            emptied_.insert(at->first);
            erase(at->first);
        }
        if (lent) return fail(Err::lent);
        return {};
    }

    Result<bool> give(CapSlot ram) override {
        const Described what = TRY(describe(ram));
        const Range range{what.base, what.bytes};
        for (const auto& [slot, other] : slots)
            if (other.kind != abi::Kind::ram && range.contains({other.base, other.bytes}))
                return fail(Err::range_in_use);
        memory_.owner[what.base] = ~0u;
        if (accepted_ram(what)) {
            erase_copies(what, abi::null_slot);
            emptied_.erase(ram);
            return false;
        }
        erase_copies(what, ram);
        slots[ram].kind = abi::Kind::loan;
        slots[ram].given = true;
        return true;
    }

    Result<bool> start_core(uint32_t apic, CapSlot ram, uint32_t) override {
        const bool leaves_loan = TRY(give(ram));
        started.push_back(apic);
        return leaves_loan;
    }

    Result<> regain(CapSlot loan) override {
        if (!slots.at(loan).given) return fail(Err::bad_state);
        slots[loan].kind = abi::Kind::ram;
        slots[loan].given = false;
        memory_.owner[slots[loan].base] = core_;
        return {};
    }

    Result<CapSlot> split(CapSlot loan, uint64_t offset) override {
        Cap rest = slots.at(loan);
        if (!rest.given || offset == 0 || offset >= rest.bytes) return fail(Err::range_bounds);
        slots[loan].bytes = offset;
        rest.base += offset;
        rest.bytes -= offset;
        return insert(rest);
    }

    Drained drained() override {
        if (drained_.empty()) return {};
        const Drained next = drained_.front();
        drained_.pop_front();
        return next;
    }

    bool has_drained() const { return !drained_.empty(); }

    Result<Bell> vector_of(CapSlot doorbell) override {
        const Described what = TRY(describe(doorbell));
        if (what.base >= abi::core_space) return fail(Err::foreign);
        return Bell{core_ + 100, static_cast<uint32_t>(what.badge)};
    }

    Result<CapSlot> endpoint(uint64_t badge) override {
        return put({abi::Kind::endpoint, abi::write | abi::copy, 0x8000, 1, badge});
    }

    void drop(CapSlot slot) override {
        if (emptied_.erase(slot) == 1) return;
        ASSERT_TRUE(slots.contains(slot)) << "dropped twice on core " << core_;
        erase(slot);
    }

    Result<> give_up(CapSlot slot) override {
        const Described what = TRY(describe(slot));
        std::erase_if(slots, [&](const auto& entry) {
            return entry.second.kind == what.kind && entry.second.base == what.base;
        });
        return {};
    }

    /// The world does it.
    Result<> stop_core(uint32_t apic) override;

    void hang() override { stopped_.insert(core_); }

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

    /// Capabilities of that memory, keepers and loans not counted.
    size_t uses(uint64_t base) const {
        size_t sum = 0;
        for (const auto& [slot, what] : slots)
            if (what.kind == abi::Kind::frame && what.base == base && !what.keeper) ++sum;
        return sum;
    }

    bool is_lent(uint64_t base) const {
        return std::ranges::any_of(slots, [&](const auto& entry) {
            return entry.second.kind == abi::Kind::loan && entry.second.base == base;
        });
    }

    size_t keepers() const {
        size_t sum = 0;
        for (const auto& [slot, what] : slots)
            if (what.keeper) ++sum;
        return sum;
    }

    /// A domain deletes what it was given; also when it was revoked meanwhile.
    void domain_drops(CapSlot slot) {
        if (emptied_.erase(slot) == 0 && slots.contains(slot)) erase(slot);
    }

    std::map<CapSlot, Cap> slots;
    std::map<CapSlot, Range> marks;
    std::map<uint64_t, unsigned> rings; // by badge of the doorbell
    std::vector<uint32_t> started;      // cores, by APIC id
    unsigned refuse_accept{};           // the how-many-th accept from now fails; 0 none
    unsigned refuse_copy{};

  private:
    bool is_marked(const Described& what) const {
        for (const auto& [slot, range] : marks)
            if (range.contains({what.base, what.bytes})) return true;
        return false;
    }

    /// Nothing larger of this core contains it.
    bool accepted_ram(const Described& what) const {
        for (const auto& [slot, other] : slots)
            if (other.kind == abi::Kind::ram && other.bytes > what.bytes &&
                Range{other.base, other.bytes}.contains({what.base, what.bytes}))
                return false;
        return true;
    }

    void erase_copies(const Described& what, CapSlot but) {
        for (auto it = slots.begin(); it != slots.end();) {
            const auto at = it++;
            const bool same = at->second.kind == what.kind && at->second.base == what.base;
            if (!same || at->first == but) continue;
            emptied_.insert(at->first);
            slots.erase(at);
        }
    }

    void erase(CapSlot slot) {
        const Cap cap = slots.at(slot);
        slots.erase(slot);
        if (!cap.borrowed || cap.keeper || uses(cap.base) > 0) return;
        drained_.push_back({Drained::What::one, cap.base, cap.bytes});
    }

    unsigned core_;
    Memory& memory_;
    std::set<unsigned>& stopped_;
    uint32_t next_{1};
    std::set<CapSlot> emptied_; // by a revoke
    std::deque<Drained> drained_;
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
    static unsigned parent_of(unsigned core) { return (core - 1) / 2; }

    /// What the hand-over page says.
    void begin(unsigned core) {
        for (unsigned other = 0; other < islands.size(); ++other)
            at(core).set_core(core_id(other), other + 100);
        ASSERT_TRUE(at(core).open_doorstep());
    }

    Monitor& at(unsigned core) { return *islands[core]->monitor; }

    FakeKernel& kernel(unsigned core) { return islands[core]->kernel; }

    /// What core boot and the init of the new core do.
    void start_core(unsigned core) {
        const unsigned parent = parent_of(core);
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

    /// Sends a capability of this domain; its own stays.
    Result<> send(uint32_t binding, uint32_t token, CapSlot what) {
        const auto copy = kernel().copy(what);
        if (!copy) return fail(copy.error());
        return monitor().send(badge, binding, token, *copy);
    }

    Result<CapSlot> receive(uint32_t binding, uint32_t token) {
        return monitor().receive(badge, binding, token);
    }

    Result<uint32_t> revoke(CapSlot what) {
        const auto copy = kernel().copy(what);
        if (!copy) return fail(copy.error());
        return monitor().revoke(badge, *copy);
    }

    void die() { EXPECT_TRUE(monitor().client_gone(badge_spawn, badge)); }

    std::optional<Described> more;
};

} // namespace monitor_test
