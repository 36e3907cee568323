// As much of a CPU driver as monitors see, and which core owns which memory.
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

    /// What lies behind it stays whose it was.
    void give(unsigned core, uint64_t base, uint64_t bytes) {
        const auto behind = owner.upper_bound(base + bytes);
        if (behind != owner.begin()) owner.try_emplace(base + bytes, std::prev(behind)->second);
        owner[base] = core;
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
        if (what.kind == abi::Kind::ram) memory_.give(core_, what.base, what.bytes);
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

} // namespace monitor_test
