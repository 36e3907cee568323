// The one system call: which operation on which capability, with what right; then the operation.
// Its arguments are decoded in invoke_*.cpp, by kind of capability, and nowhere else. What an
// operation does is elsewhere, too: it is the same that boot uses.
#include "kernel/invoker.hpp"

#include <algorithm>

namespace kernel {

using abi::Op;

consteval void Invoker::add_capability_rules(Rules& rules) {
    using enum Op;
    using I = Invoker;
    constexpr uint32_t cnode = bit(Kind::cnode);
    constexpr uint32_t tables = bit(Kind::page_table) | bit(Kind::page_directory) |
                                bit(Kind::page_directory_pointers) | bit(Kind::address_space);
    constexpr Rights write = abi::write;

    rules.on(null_call, ~0u, {}, [](I&) -> Result<> { return {}; });
    rules.on(cnode_copy, cnode, write, [](I& i) { return i.copy(); });
    rules.on(cnode_mint, cnode, write, [](I& i) { return i.mint(); });
    rules.on(cnode_move, cnode, write, [](I& i) { return i.move(); });
    rules.on(cnode_delete, cnode, write, [](I& i) -> Result<> {
        return i.core_.remove(*TRY(i.slot_in_cnode()));
    });
    rules.on(cnode_revoke, cnode, write, [](I& i) -> Result<> {
        return i.core_.revoke(*TRY(i.slot_in_cnode()));
    });
    rules.on(cnode_retype, cnode, write, [](I& i) { return i.retype(); });
    rules.on(cnode_describe, cnode, {}, [](I& i) { return i.describe(); });
    rules.on(table_map, tables, write, [](I& i) { return i.map(); });
    rules.on(mapping_protect, bit(Kind::mapping), {}, [](I& i) -> Result<> {
        return i.core_.protect(i.cap_, TRY(i.rights_argument(0)));
    });
    rules.on(mapping_status, bit(Kind::mapping), {}, [](I& i) -> Result<> {
        const Core::Touched touched = TRY(i.core_.touched(i.cap_));
        i.value(0, touched.accessed ? 1 : 0);
        i.value(1, touched.dirty ? 1 : 0);
        return {};
    });
}

consteval void Invoker::add_dispatcher_rules(Rules& rules) {
    using enum Op;
    using I = Invoker;
    constexpr uint32_t dispatcher = bit(Kind::dispatcher);
    constexpr Rights write = abi::write, execute = abi::execute;

    rules.on(dispatcher_configure, dispatcher, write, [](I& i) { return i.configure(); });
    rules.on(dispatcher_start, dispatcher, write, [](I& i) {
        Dispatcher& d = i.core_.dispatcher(i.cap_);
        return i.core_.start(d, i.argument(0), i.argument(1), i.argument(2));
    });
    rules.on(dispatcher_stop, dispatcher, write, [](I& i) {
        return i.core_.stop(i.core_.dispatcher(i.cap_));
    });
    rules.on(dispatcher_priority, dispatcher, write, [](I& i) { return i.priority(); });
    rules.on(dispatcher_state, dispatcher, abi::read, [](I& i) { return i.state(); });
    rules.on(endpoint_make, dispatcher, write, [](I& i) { return i.endpoint(); });
    rules.on(doorbell_make, dispatcher, write, [](I& i) { return i.doorbell(); });
    rules.on(Op::yield, dispatcher, execute, [](I& i) -> Result<> {
        return i.own_dispatcher(); // who may, does: Core::yield_quickly
    });
    rules.in_registers(wait, Kind::dispatcher, execute, [](I& i) -> Result<> {
        TRY_VOID(i.own_dispatcher());
        return i.core_.wait(i.caller_);
    });
    rules.in_registers(reply, Kind::dispatcher, execute, [](I& i) -> Result<> {
        TRY_VOID(i.own_dispatcher());
        return i.core_.reply(i.caller_);
    });
    rules.in_registers(reply_wait, Kind::dispatcher, execute, [](I& i) -> Result<> {
        TRY_VOID(i.own_dispatcher());
        return i.core_.reply_wait(i.caller_);
    });
    rules.in_registers(resume, Kind::dispatcher, execute, [](I& i) -> Result<> {
        TRY_VOID(i.own_dispatcher());
        return fail(Err::bad_argument); // of any area that there is: Core::resume_quickly
    });
    rules.in_registers(call, Kind::endpoint, write, [](I& i) {
        return i.core_.call(i.caller_, i.cap_);
    });
}

consteval void Invoker::add_device_rules(Rules& rules) {
    using enum Op;
    using I = Invoker;
    constexpr uint32_t interrupt = bit(Kind::interrupt);
    constexpr Rights write = abi::write;

    rules.on(Op::ring, bit(Kind::doorbell), write, [](I& i) -> Result<> {
        TRY_VOID(i.core_.ring(i.cap_));
        if (i.cap_.base >= abi::core_space) i.core_.pay_for_ring(i.caller_);
        return {};
    });
    rules.on(interrupt_bind, interrupt, write, [](I& i) { return i.bind(); });
    rules.on(interrupt_acknowledge, interrupt, write, [](I& i) {
        return i.core_.acknowledge_interrupt(i.cap_);
    });
    rules.on(Op::port_in, bit(Kind::io_port), abi::read, [](I& i) { return i.port_in(); });
    rules.on(Op::port_out, bit(Kind::io_port), write, [](I& i) { return i.port_out(); });
}

consteval void Invoker::add_core_rules(Rules& rules) {
    using enum Op;
    using I = Invoker;
    constexpr uint32_t core = bit(Kind::core);
    constexpr Rights write = abi::write, execute = abi::execute;

    rules.on(Op::core_start, core, write, [](I& i) { return i.core_start(); });
    rules.on(Op::core_accept, core, execute, [](I& i) { return i.core_accept(); });
    rules.on(Op::core_lend, core, execute, [](I& i) { return i.core_lend(); });
    rules.on(Op::core_recall, core, execute, [](I& i) { return i.core_recall(); });
    rules.on(Op::core_give, core, execute, [](I& i) { return i.core_give(); });
    rules.on(core_regain, core, execute, [](I& i) -> Result<> {
        TRY_VOID(i.own_core());
        return i.core_.regain(*TRY(i.core_.find_changeable(i.caller_, i.argument(0))));
    });
    rules.on(Op::core_mark, core, execute, [](I& i) { return i.core_mark(); });
    rules.on(Op::core_watch, core, execute, [](I& i) { return i.core_watch(); });
    rules.on(Op::core_drained, core, execute, [](I& i) { return i.core_drained(); });
    rules.on(Op::core_split, core, execute, [](I& i) -> Result<> {
        TRY_VOID(i.own_core());
        Slot* const loan = TRY(i.core_.find_changeable(i.caller_, i.argument(0)));
        return i.core_.split(*loan, i.argument(1), *TRY(i.empty_place(2)));
    });
    rules.on(Op::core_stop, core, execute, [](I& i) -> Result<> {
        TRY_VOID(i.own_core());
        return i.core_.stop_core(i.argument(0));
    });
    rules.on(Op::core_hang, core, execute, [](I& i) -> Result<> {
        TRY_VOID(i.own_core());
        i.core_.machine().hang();
        return {};
    });
    rules.on(Op::core_vector, core, execute, [](I& i) { return i.core_vector(); });
    rules.on(Op::core_info, core, {}, [](I& i) { return i.core_info(); });
}

consteval auto Invoker::rules() {
    Rules all;
    add_capability_rules(all);
    add_dispatcher_rules(all);
    add_device_rules(all);
    add_core_rules(all);
    return all.table;
}

void Invoker::answer() {
    Registers& r = caller_.registers;
    r.rax = 0;
    for (size_t i = 0; i < value_count_; ++i)
        r.*word_registers[i] = values_[i];
}

void Invoker::run(uint64_t operation) {
    static constexpr auto table = rules();
    static_assert(std::ranges::all_of(table, [](const Rule& r) { return r.handler != nullptr; }));
    const auto refuse = [&](Err why) { answer_status(caller_.registers, fail(why)); };
    if (operation >= table.size()) return refuse(Err::bad_operation);
    const Rule& rule = table[operation];
    if ((rule.kinds & bit(cap_.kind)) == 0) return refuse(Err::bad_operation);
    if (!cap_.rights.has(rule.rights)) return refuse(Err::cap_rights);
    const Result<> done = rule.handler(*this);
    if (!done)
        answer_status(caller_.registers, done);
    else if (!rule.in_registers)
        answer();
}

Result<uint32_t> Invoker::narrow(size_t i) const {
    if (argument(i) > UINT32_MAX) return fail(Err::bad_argument);
    return static_cast<uint32_t>(argument(i));
}

Result<Rights> Invoker::rights_argument(size_t i) const {
    if (argument(i) > abi::all_rights.raw) return fail(Err::bad_argument);
    return Rights{static_cast<uint8_t>(argument(i))};
}

Result<Slot*> Invoker::empty_place(size_t i) const {
    return core_.place(*TRY(capability(i)), argument(i + 1));
}

After Core::refuse(Dispatcher& d) const {
    answer_status(d.registers, fail(why_not(d, d.registers.rdi)));
    return After::goes_on;
}

/// Any operation, on what rdi names.
After Core::invoke(Dispatcher& d, Slot& cap) {
    Invoker{*this, d, cap}.run(d.registers.rax);
    return scheduler_.changed() ? After::turn : After::goes_on;
}

} // namespace kernel
