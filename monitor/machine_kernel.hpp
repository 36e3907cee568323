// The protocol's Kernel seam by system calls. Only main.cpp includes this.
#pragma once

#include "lib/os/space.hpp"
#include "monitor/seams.hpp"
#include "monitor/server.hpp"

namespace monitor {

/// Memory that this domain alone writes, and others may read.
class ForAll {
  public:
    /// From now on it is kept up to date.
    virtual CapSlot frame() = 0;

  protected:
    ~ForAll() = default;
};

class MachineKernel final : public Kernel, public CoreFigures {
  public:
    /// `core`: this one; `others`: the authority to start them.
    MachineKernel(CapSlot core, CapSlot others) : core_{{core}}, others_{{others}} {}

    Result<Described> describe(CapSlot slot) override {
        const os::Description d = TRY(os::describe(slot));
        if (d.kind == abi::Kind::empty) return fail(Err::cap_empty);
        const bool borrowed = (d.flags & abi::describe_borrowed) != 0;
        const bool idle = (d.flags & abi::describe_idle) != 0;
        return Described{d.kind, d.rights, d.base, d.bytes, d.badge, borrowed, idle};
    }

    Result<CapSlot> copy(CapSlot slot) override { return os::slots().copy(slot); }

    Result<CapSlot> accept(const Described& what) override {
        return into_new_slot([&](os::Place to) {
            return core_.accept(to, what.kind, what.base, what.bytes, what.rights, what.badge);
        });
    }

    Result<CapSlot> lend(CapSlot frame) override {
        return into_new_slot([&](os::Place to) { return core_.lend(frame, to); });
    }

    Result<CapSlot> recall(CapSlot loan, abi::Rights rights) override {
        return into_new_slot([&](os::Place to) { return core_.recall(loan, rights, to); });
    }

    Result<> mark(CapSlot slot) override { return core_.mark(slot, true); }

    /// The mark of what was revoked meanwhile went with it.
    void unmark(CapSlot slot) override { (void)core_.mark(slot, false); }

    Result<> revoke_step(CapSlot slot) override {
        const os::Place at = os::place_of(slot);
        return os::CNode{{at.cnode}}.revoke_step(at.index);
    }

    Result<bool> give(CapSlot ram) override { return left(ram, core_.give(ram)); }

    Result<bool> start_core(uint32_t apic, CapSlot ram, uint32_t start_page) override {
        return left(ram, others_.start(ram, start_page, ApicId{{apic}}));
    }

    Result<> regain(CapSlot loan) override { return core_.regain(loan); }

    Result<CapSlot> split(CapSlot loan, uint64_t offset) override {
        return into_new_slot([&](os::Place to) { return core_.split(loan, offset, to); });
    }

    Drained drained() override {
        const auto next = core_.drained();
        if (!next || next->what == abi::Drained::none) return {};
        const bool many = next->what == abi::Drained::many;
        const auto what = many ? Drained::What::look_at_all : Drained::What::one;
        return {what, next->base, next->bytes};
    }

    /// From now on `bell` is rung when there may be some.
    Result<> watch_drained(CapSlot bell) { return core_.watch(bell); }

    Result<Bell> vector_of(CapSlot doorbell) override {
        const os::RemoteVector v = TRY(core_.vector(doorbell));
        return Bell{v.apic.raw, v.vector};
    }

    Result<CapSlot> endpoint(uint64_t badge) override {
        return into_new_slot([&](os::Place to) { return os::self().make_endpoint(to, badge); });
    }

    /// What cannot be deleted (memory lent away) keeps its slot: it is gone for good.
    void drop(CapSlot slot) override { (void)os::slots().remove(slot); }

    Result<> give_up(CapSlot slot) override {
        const os::Place at = os::place_of(slot);
        TRY_VOID((os::CNode{{at.cnode}}.revoke(at.index)));
        return os::slots().remove(slot);
    }

    /// A bell whose dispatcher is gone rings nobody.
    void ring(CapSlot doorbell) override { (void)os::Doorbell{{doorbell}}.ring(); }

    Result<> stop_core(uint32_t apic) override { return core_.stop(apic); }

    void hang() override { (void)core_.hang(); }

    Result<std::array<uint64_t, 4>> core_info(uint32_t page, uint32_t first) override {
        if (page > static_cast<uint32_t>(abi::CoreInfo::in_use)) return fail(Err::bad_argument);
        const os::Values all = TRY(core_.info(abi::CoreInfo(page)));
        std::array<uint64_t, 4> part{};
        for (size_t i = 0; i < part.size() && first + i < all.size(); ++i)
            part[i] = all[first + i];
        return part;
    }

    void show_names(ForAll& names) { names_ = &names; }

    void show_costs(ForAll& costs) { costs_ = &costs; }

    Result<CapSlot> names_table() override { return os::slots().mint(names_->frame(), abi::read); }

    Result<CapSlot> costs_table() override { return os::slots().mint(costs_->frame(), abi::read); }

  private:
    static Result<bool> left(CapSlot ram, Result<bool> leaves_loan) {
        if (leaves_loan && !*leaves_loan) os::slots().release(ram);
        return leaves_loan;
    }

    template <class Make>
    static Result<CapSlot> into_new_slot(Make&& make) {
        const CapSlot slot = TRY(os::slots().take());
        if (const Result<> made = make(os::place_of(slot)); !made) {
            os::slots().release(slot);
            return fail(made.error());
        }
        return slot;
    }

    os::Core core_, others_;
    ForAll* names_{};
    ForAll* costs_{};
};

} // namespace monitor
