// What is asked of a core: mostly by its monitor.
#include "kernel/invoker.hpp"

namespace kernel {

Result<> Invoker::own_core() const {
    const uint64_t own = abi::core_space + core_.config().apic.raw;
    if (cap_.base != own || cap_.bytes != 1) return fail(Err::foreign);
    return {};
}

Result<> Invoker::core_start() {
    Slot* const ram = TRY(core_.find_changeable(caller_, argument(0)));
    const bool leaves_loan = TRY(core_.start_core(cap_, argument(2), *ram, argument(1)));
    value(0, leaves_loan ? 1 : 0);
    return {};
}

Result<> Invoker::core_accept() {
    TRY_VOID(own_core());
    Slot* const into = TRY(empty_place(0));
    if (argument(2) >= abi::kind_names.size()) return fail(Err::bad_argument);
    const Root root{
        .kind = static_cast<Kind>(argument(2)),
        .base = argument(3),
        .bytes = argument(4),
        .rights = TRY(rights_argument(5)),
        .badge = argument(6),
    };
    return core_.accept(*into, root);
}

Result<> Invoker::core_lend() {
    TRY_VOID(own_core());
    Slot* const frame = TRY(capability(0));
    return core_.lend(*frame, *TRY(empty_place(1)));
}

Result<> Invoker::core_recall() {
    TRY_VOID(own_core());
    Slot* const loan = TRY(capability(0));
    const Rights rights = TRY(rights_argument(1));
    return core_.recall(*loan, rights, *TRY(empty_place(2)));
}

Result<> Invoker::core_give() {
    TRY_VOID(own_core());
    const bool left = TRY(core_.give(*TRY(core_.find_changeable(caller_, argument(0)))));
    value(0, left ? 1 : 0);
    return {};
}

Result<> Invoker::core_mark() {
    TRY_VOID(own_core());
    if (argument(1) > 1) return fail(Err::bad_argument);
    return core_.mark(*TRY(capability(0)), argument(1) == 1);
}

Result<> Invoker::core_watch() {
    TRY_VOID(own_core());
    return core_.watch(argument(0) == 0 ? nullptr : TRY(capability(0)));
}

Result<> Invoker::core_drained() {
    TRY_VOID(own_core());
    const Core::Drained drained = core_.take_drained();
    value(0, static_cast<uint64_t>(drained.what));
    value(1, drained.range.base);
    value(2, drained.range.bytes);
    return {};
}

Result<> Invoker::core_vector() {
    TRY_VOID(own_core());
    Slot* const doorbell = TRY(capability(0));
    const uint8_t vector = TRY(core_.remote_vector(*doorbell));
    value(0, core_.config().apic.raw);
    value(1, vector);
    return {};
}

Result<> Invoker::core_info() {
    const Statistics& s = core_.statistics();
    const auto set = [&](std::initializer_list<uint64_t> words) {
        size_t i = 0;
        for (const uint64_t word : words)
            value(i++, word);
    };
    using enum abi::CoreInfo;
    switch (static_cast<abi::CoreInfo>(argument(0))) {
    case identity:
        set({core_.config().core.raw, core_.config().apic.raw, core_.config().tsc_khz});
        return {};
    case idle: {
        const auto now = static_cast<uint64_t>(core_.machine().now().ns);
        const auto idle_ns = static_cast<uint64_t>(core_.machine().duration(s.idle_ticks).ns);
        set({s.halts, idle_ns, now, s.switches});
        return {};
    }
    case traffic:
        set({s.calls, s.interrupts, s.ipis_sent, s.ipis_received, s.spurious, s.held_back});
        return {};
    case memory: set({s.bytes_owned, core_.database().count(), core_.parked_loans()}); return {};
    case in_use:
        set({
            core_.database().count(),
            core_.vectors_.dispatchers_joined(),
            core_.vectors_.lines_bound(),
        });
        return {};
    }
    return fail(Err::bad_argument);
}

} // namespace kernel
