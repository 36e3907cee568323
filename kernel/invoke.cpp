// The one system call: which operation on which capability, with what right; then the operation.
// Arguments are decoded here and nowhere else. What an operation does is elsewhere, too: it is the
// same that boot uses.
#include <algorithm>
#include <array>
#include <utility>

#include "kernel/answer.hpp"
#include "kernel/core.hpp"

namespace kernel {

using abi::Op;

/// One system call while it is carried out.
class Invoker {
  public:
    Invoker(Core& core, Dispatcher& caller, Slot& cap) : core_{core}, caller_{caller}, cap_{cap} {}

    void run(uint64_t operation);

  private:
    using Handler = Result<> (*)(Invoker&);

    struct Rule {
        uint32_t kinds{}; // bit a kind
        Rights rights{};
        bool in_registers{}; // reads and answers in the caller's registers by itself
        Handler handler{};
    };

    static constexpr uint32_t bit(Kind k) { return 1u << static_cast<unsigned>(k); }

    /// By operation.
    struct Rules {
        std::array<Rule, static_cast<size_t>(Op::count_)> table{};

        constexpr void on(Op op, uint32_t kinds, Rights rights, Handler handler) {
            table[static_cast<size_t>(op)] = {kinds, rights, false, handler};
        }

        constexpr void in_registers(Op op, Kind kind, Rights rights, Handler handler) {
            table[static_cast<size_t>(op)] = {bit(kind), rights, true, handler};
        }
    };

    static consteval void add_capability_rules(Rules& rules);
    static consteval void add_dispatcher_rules(Rules& rules);
    static consteval void add_device_rules(Rules& rules); // and doorbells
    static consteval void add_core_rules(Rules& rules);
    static consteval auto rules();

    /// They stay in the caller's registers until the answer is written there.
    uint64_t argument(size_t i) const { return caller_.registers.*word_registers[i]; }

    Result<uint32_t> narrow(size_t i) const;
    Result<Rights> rights_argument(size_t i) const;

    Result<Slot*> capability(size_t i) const { return core_.find(caller_, argument(i)); }

    /// A slot given as CNode and index, empty.
    Result<Slot*> empty_place(size_t i) const;
    Result<Slot*> slot_in_cnode() const;

    Result<Slot*> destination() const { return core_.place(cap_, argument(0)); }

    Result<> own_dispatcher() const;
    Result<> own_core() const;

    /// Values come in order, from 0 on.
    void value(size_t i, uint64_t v) {
        values_[i] = v;
        value_count_ = i + 1;
    }

    void answer();

    Result<> copy();
    Result<> mint();
    Result<> move();
    Result<> retype();
    Result<> describe();
    uint64_t description(const Slot& slot) const;
    Result<> map();
    Result<> configure();
    Result<> priority();
    Result<> state();
    Result<> endpoint();
    Result<> doorbell();
    Result<> bind();
    Result<uint16_t> port(size_t width_argument) const;
    Result<> port_in();
    Result<> port_out();
    Result<> core_start();
    Result<> core_accept();
    Result<> core_lend();
    Result<> core_recall();
    Result<> core_give();
    Result<> core_mark();
    Result<> core_watch();
    Result<> core_drained();
    Result<> core_vector();
    Result<> core_info();

    Core& core_;
    Dispatcher& caller_;
    Slot& cap_;
    size_t value_count_{};
    std::array<uint64_t, abi::argument_words> values_; // as many as counted
};

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

/// The slot that argument 0 names in the CNode, whatever is in it.
Result<Slot*> Invoker::slot_in_cnode() const {
    if (argument(0) >= abi::cnode_slots) return fail(Err::bad_argument);
    return &core_.cnode(cap_).slot[argument(0)];
}

Result<> Invoker::own_dispatcher() const {
    if (cap_.base != caller_.self.raw) return fail(Err::bad_argument);
    return {};
}

Result<> Invoker::own_core() const {
    const uint64_t own = abi::core_space + core_.config().apic.raw;
    if (cap_.base != own || cap_.bytes != 1) return fail(Err::foreign);
    return {};
}

Result<> Invoker::copy() {
    Slot* const into = TRY(destination());
    Slot* const source = TRY(capability(1));
    return core_.copy(*source, *into, source->rights);
}

Result<> Invoker::mint() {
    Slot* const into = TRY(destination());
    Slot* const source = TRY(capability(1));
    const Rights rights = TRY(rights_argument(2));
    // a badge is set where the endpoint is made, and never changes
    if (argument(3) != 0 && argument(3) != source->tag()) return fail(Err::bad_argument);
    return core_.copy(*source, *into, rights);
}

Result<> Invoker::move() {
    Slot* const into = TRY(destination());
    return core_.move(*TRY(core_.find_changeable(caller_, argument(1))), *into);
}

Result<> Invoker::retype() {
    const uint64_t index = argument(0), count = argument(5);
    if (argument(2) >= abi::kind_names.size()) return fail(Err::bad_argument);
    if (index >= abi::cnode_slots || count > abi::cnode_slots - index) {
        return fail(Err::bad_argument);
    }
    Slot* const source = TRY(capability(1));
    const std::span<Slot> into{&core_.cnode(cap_).slot[index], count};
    const auto kind = static_cast<Kind>(argument(2));
    return core_.retype(*source, kind, argument(3), argument(4), into);
}

Result<> Invoker::describe() {
    const Slot& slot = *TRY(slot_in_cnode());
    const bool badged = slot.kind == Kind::endpoint || slot.kind == Kind::doorbell ||
                        (slot.kind == Kind::frame && slot.has(flag::borrowed));
    value(0, static_cast<uint64_t>(slot.kind) | uint64_t{slot.rights.raw} << 8);
    value(1, slot.empty() ? 0 : slot.base);
    value(2, slot.empty() ? 0 : slot.bytes);
    value(3, badged ? slot.tag() : 0);
    value(4, description(slot));
    return {};
}

uint64_t Invoker::description(const Slot& slot) const {
    return (slot.has(flag::revoking | flag::marked) ? abi::describe_revoking : 0) |
           (slot.has(flag::borrowed) ? abi::describe_borrowed : 0) |
           (slot.has(flag::given) ? abi::describe_given : 0) |
           (slot.has(flag::keeper) ? abi::describe_keeper : 0) |
           (core_.database().idle(slot) ? abi::describe_idle : 0);
}

Result<> Invoker::map() {
    const uint64_t rights = argument(3) & 0xff;
    if (rights > abi::all_rights.raw || argument(0) >= table_entries) {
        return fail(Err::bad_argument);
    }
    if (argument(4) > table_entries) return fail(Err::bad_argument);
    const MapRequest request{
        .entry = static_cast<uint32_t>(argument(0)),
        .offset = argument(2),
        .rights = Rights{static_cast<uint8_t>(rights)} & (abi::read | abi::write | abi::execute),
        .flags = argument(3) >> 8,
        .count = static_cast<uint32_t>(argument(4)),
    };
    Slot* const source = TRY(capability(1));
    return core_.map(cap_, *source, request, *TRY(empty_place(5)));
}

Result<> Invoker::configure() {
    // nobody makes somebody more urgent than himself
    if (argument(4) > caller_.priority) return fail(Err::bad_argument);
    const Configuration wanted{
        .cspace = TRY(capability(0)),
        .vspace = TRY(capability(1)),
        .page = TRY(capability(2)),
        .page_address = virt(argument(3)),
        .priority = static_cast<uint8_t>(argument(4)),
        .fault_bell = argument(5) == 0 ? nullptr : TRY(capability(5)),
    };
    return core_.configure(cap_, wanted);
}

Result<> Invoker::priority() {
    constexpr uint64_t most_us = 1'000'000;
    if (argument(0) > caller_.priority || argument(1) > most_us) return fail(Err::bad_argument);
    const auto slice = microseconds(static_cast<int64_t>(argument(1)));
    Dispatcher& d = core_.dispatcher(cap_);
    return core_.set_priority(d, static_cast<uint8_t>(argument(0)), slice);
}

Result<> Invoker::state() {
    const Dispatcher& d = core_.dispatcher(cap_);
    const Registers& r = d.registers;
    std::array<uint64_t, 6> words{};
    if (argument(0) == 0) {
        words = {static_cast<uint64_t>(d.state), r.rip, r.rsp, r.rbp, r.rflags, d.fault_vector};
    } else if (argument(0) == 1) {
        words = {d.fault_address, d.fault_code, r.rax, r.rdi, r.rsi, r.rdx};
    } else if (argument(0) == 2) {
        const auto busy_ns = static_cast<uint64_t>(core_.machine().duration(d.busy_ticks).ns);
        words = {busy_ns, d.dispatches, d.calls_received, d.priority, 0, 0};
    } else {
        return fail(Err::bad_argument);
    }
    for (size_t i = 0; i < words.size(); ++i)
        value(i, words[i]);
    return {};
}

Result<> Invoker::endpoint() {
    return core_.make_endpoint(cap_, *TRY(empty_place(0)), argument(2));
}

Result<> Invoker::doorbell() {
    return core_.make_doorbell(cap_, *TRY(empty_place(0)), argument(2));
}

Result<> Invoker::bind() {
    if (argument(1) > static_cast<uint64_t>(abi::InterruptMode::edge_low)) {
        return fail(Err::bad_argument);
    }
    const auto mode = static_cast<abi::InterruptMode>(argument(1));
    return core_.bind_interrupt(cap_, *TRY(capability(0)), mode);
}

/// The port in argument 0, whose bytes all lie in the capability's range.
Result<uint16_t> Invoker::port(size_t width_argument) const {
    const uint64_t port = argument(0), width = argument(width_argument);
    if (width != 1 && width != 2 && width != 4) return fail(Err::bad_argument);
    if (port > UINT16_MAX) return fail(Err::bad_argument);
    const uint64_t first = cap_.base - abi::io_port_space;
    if (port < first || port + width > first + cap_.bytes) return fail(Err::range_bounds);
    return static_cast<uint16_t>(port);
}

Result<> Invoker::port_in() {
    const uint16_t from = TRY(port(1));
    value(0, core_.machine().port_in(from, static_cast<unsigned>(argument(1))));
    return {};
}

Result<> Invoker::port_out() {
    const uint16_t to = TRY(port(1));
    const uint32_t word = TRY(narrow(2));
    core_.machine().port_out(to, static_cast<unsigned>(argument(1)), word);
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
