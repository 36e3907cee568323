// What one core must do: calls, sleep and idle, faults, two dispatchers, extended registers,
// preemption, device interrupts.
#include "lib/abi/boot_info.hpp"
#include "lib/os/instructions.hpp"
#include "tests/cpudriver/guest/guest.hpp"

extern "C" {
bool guest_try_read(const void* at);
bool guest_try_write(void* at);
bool guest_try_jump(const void* at);
bool guest_try_halt();
bool guest_try_break();
void guest_recover();
void guest_upcall();
[[noreturn]] void guest_on_fault(abi::DispatcherPage* page);
bool guest_call_keeps_sse(uint64_t seed, uint64_t endpoint, uint64_t operation);
bool guest_call_keeps_avx(uint64_t seed, uint64_t endpoint, uint64_t operation);
void guest_fill_avx(uint64_t seed);
bool guest_avx_is_zero();
}

namespace guest {

namespace {

alignas(16) std::array<std::byte, 8192> upcall_stack;
uint64_t last_vector, last_address;
volatile uint64_t counter;
constexpr uint64_t call_number = std::to_underlying(abi::Op::call);

const os::Core own_core() {
    return {{given("core.self")}};
}

uint64_t halts() {
    return need(own_core().info(abi::CoreInfo::idle), "idle")[0];
}

void test_calls() {
    constexpr uint64_t times = 1000;
    const CapSlot any{{abi::slot::dispatcher}};
    for (uint64_t i = 0; i < 10; ++i)
        (void)os::system_call(abi::Op::null_call, any);
    const uint64_t begin = os::read_tsc();
    bool all = true;
    for (uint64_t i = 0; i < times; ++i)
        all = all && os::system_call(abi::Op::null_call, any).status == 0;
    const uint64_t ticks = os::read_tsc() - begin;
    check(all, "null call");
    say("null call: {} TSC ticks each", ticks / times);
    const auto bad = os::command(static_cast<abi::Op>(999), any);
    check(!bad && bad.error() == Err::bad_operation, "unknown operation is refused");
}

void test_sleep() {
    const uint64_t before = halts();
    const Instant begin = now(), deadline = begin + milliseconds(20);
    const uint64_t events = sleep_until(deadline);
    check((events >> abi::event_timer & 1) != 0 && now() >= deadline, "wait ends at the deadline");
    check(halts() > before, "an idle core halts");
    say("20 ms were {} us", (now() - begin).us());
}

/// Expects the trap of that vector, and at that address if it is a page fault.
template <class Try>
void expect_fault(Try attempt, uint64_t vector, const void* at, std::string_view name) {
    last_vector = last_address = 0;
    const bool faulted = attempt();
    const bool right_place = vector != 14 || last_address == reinterpret_cast<uint64_t>(at);
    check(faulted && last_vector == vector && right_place, name);
}

void test_faults() {
    page().upcall_page_fault = page().upcall_trap = reinterpret_cast<uint64_t>(&guest_upcall);
    page().upcall_stack = reinterpret_cast<uint64_t>(upcall_stack.data() + upcall_stack.size());
    page().disabled = 0;
    auto* const nowhere = reinterpret_cast<void*>(0x7000'0000'1000);
    auto* const kernel = reinterpret_cast<void*>(0xffff'ffff'8000'0000);
    auto* const window = reinterpret_cast<void*>(0xffff'8000'0020'0000);
    auto* const noncanonical = reinterpret_cast<void*>(0x8000'0000'0000'0000);
    auto* const code = reinterpret_cast<void*>(&guest_try_halt);
    auto* const below_stack = reinterpret_cast<void*>(abi::stack_top.raw - 64 * 1024 - 8);
    static uint64_t data = 0xc3;
    expect_fault([&] { return guest_try_read(nowhere); }, 14, nowhere, "read of nothing");
    expect_fault([&] { return guest_try_read(kernel); }, 14, kernel, "read of the CPU driver");
    expect_fault([&] { return guest_try_read(window); }, 14, window, "read of the window");
    expect_fault([&] { return guest_try_write(code); }, 14, code, "write to code");
    expect_fault([&] { return guest_try_jump(&data); }, 14, &data, "jump to data");
    expect_fault([&] { return guest_try_write(below_stack); }, 14, below_stack, "stack guard");
    expect_fault([&] { return guest_try_read(noncanonical); }, 13, nullptr, "not canonical");
    expect_fault([&] { return guest_try_halt(); }, 13, nullptr, "hlt in ring 3");
    expect_fault([&] { return guest_try_break(); }, 3, nullptr, "breakpoint");
}

bool has_fsgsbase() {
    uint32_t a = 7, b, c = 0, d;
    asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return (b & 1) != 0;
}

/// The CPU has it, and the CPU driver has switched it on (SDM vol. 1, 14.3).
bool has_avx() {
    uint32_t a = 1, b, c = 0, d;
    asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    constexpr uint32_t osxsave = 1u << 27, avx = 1u << 28, sse_and_avx = 6;
    if ((c & (osxsave | avx)) != (osxsave | avx)) return false;
    asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & sse_and_avx) == sse_and_avx;
}

uint64_t exchange_fs_base(uint64_t value) {
    uint64_t old;
    asm volatile("rdfsbase %0\n\twrfsbase %1" : "=&r"(old) : "r"(value));
    return old;
}

[[noreturn]] void echo_server(uint64_t) {
    const os::Dispatcher me{{{static_cast<uint32_t>(counter)}}};
    constexpr os::Place nowhere{{{abi::slot::leaf}}, abi::slot::receive};
    counter = 0;
    auto arrival = me.wait({}, abi::wait_accepts_calls, nowhere);
    for (;;) {
        os::Words words;
        if (arrival && arrival->is_message) {
            asm volatile("pcmpeqd %%xmm0, %%xmm0\n\tmovdqa %%xmm0, %%xmm1\n\t"
                         "movdqa %%xmm0, %%xmm7\n\tmovdqa %%xmm0, %%xmm15" ::
                             : "xmm0", "xmm1", "xmm7", "xmm15");
            if (has_avx()) guest_fill_avx(~arrival->words[0]);
            words.word[0] = arrival->words[0] + 1;
            if (has_fsgsbase()) words.word[1] = exchange_fs_base(arrival->words[1]);
            words.word[5] = arrival->badge;
        }
        counter = counter + 1;
        arrival = me.reply_wait(words);
    }
}

/// Ours stays ours, and the server finds its own again.
void test_fs_base(os::Endpoint server) {
    if (!has_fsgsbase()) return;
    bool kept = true;
    uint64_t before = 100; // what earlier calls left there is not ours to know
    (void)server.call({.word = {0, before, 0, 0, 0, 0}});
    for (uint64_t i = 1; i < 10; ++i) {
        (void)exchange_fs_base(i);
        const auto answer = server.call({.word = {0, 100 + i, 0, 0, 0, 0}});
        kept = kept && answer && answer->word[1] == before && exchange_fs_base(i) == i;
        (void)sleep_until(now() + microseconds(50));
        kept = kept && exchange_fs_base(i) == i;
        before = 100 + i;
    }
    check(kept, "FS base over calls and sleep");
}

volatile uint64_t looked = 0; // 1: all were zero, 2: not

[[noreturn]] void look_at_registers(uint64_t) {
    looked = guest_avx_is_zero() ? 1 : 2;
    for (;;)
        looked = looked;
}

/// Ours stay ours while another dispatcher uses all of them, and who is new finds none of others.
void test_avx(os::Endpoint server) {
    if (!has_avx()) return;
    bool kept = true;
    for (uint64_t seed = 1; seed < 100; ++seed)
        kept = kept && guest_call_keeps_avx(seed * 0x1'0000'0001, server.slot.raw, call_number);
    check(kept, "AVX registers over calls");
    const Thread fresh = make_thread(20);
    guest_fill_avx(0x5ec2'e700);
    start(fresh, &look_at_registers, 0);
    const Instant limit = now() + seconds(20);
    while (looked == 0 && now() < limit)
        (void)sleep_until(now() + milliseconds(1));
    check(looked == 1, "AVX registers of a new dispatcher");
    erase(fresh.dispatcher.slot);
}

void test_two_dispatchers() {
    const Thread server = make_thread(20);
    const CapSlot endpoint = new_slot();
    need(server.dispatcher.make_endpoint(place_of(endpoint), 77), "endpoint");
    counter = server.dispatcher.slot.raw;
    start(server, &echo_server, 0);
    const auto answer = os::Endpoint{{endpoint}}.call({.word = {41, 0, 0, 0, 0, 0}});
    check(answer && answer->word[0] == 42 && answer->word[5] == 77, "call and reply");
    bool kept = true;
    for (uint64_t seed = 1; seed < 100; ++seed)
        kept = kept && guest_call_keeps_sse(seed * 0x1'0000'0001, endpoint.raw, call_number);
    check(kept, "SSE registers over calls");
    test_avx({{endpoint}});
    test_fs_base({{endpoint}});
    constexpr uint64_t times = 1000;
    const uint64_t begin = os::read_tsc();
    for (uint64_t i = 0; i < times; ++i)
        (void)os::Endpoint{{endpoint}}.call({});
    say("call and reply: {} TSC ticks", (os::read_tsc() - begin) / times);
    erase(server.dispatcher.slot);
    check(!os::Endpoint{{endpoint}}.call({}), "endpoint of a deleted dispatcher");
}

constexpr size_t spinners = 2;
volatile uint64_t turns[spinners];
volatile bool vectors_kept[spinners] = {true, true};

[[noreturn]] void spin(uint64_t which) {
    const uint64_t mine = which + 0x1234'5678;
    asm volatile("movq %0, %%xmm15" ::"r"(mine) : "xmm15");
    for (;;) {
        uint64_t seen;
        asm volatile("movq %%xmm15, %0" : "=r"(seen));
        if (seen != mine) vectors_kept[which] = false;
        turns[which] = turns[which] + 1;
    }
}

/// Two that never stop, at one priority below ours: our deadline takes the core from either, and
/// both get on.
void test_preemption() {
    std::array<Thread, spinners> threads;
    for (uint64_t i = 0; i < spinners; ++i) {
        threads[i] = make_thread(10);
        need(threads[i].dispatcher.set_priority(10, milliseconds(1)), "slice");
        start(threads[i], &spin, i);
    }
    bool both = false;
    const Instant limit = now() + seconds(20);
    while (!both && now() < limit) {
        const uint64_t before[] = {turns[0], turns[1]};
        (void)sleep_until(now() + milliseconds(10));
        both = turns[0] != before[0] && turns[1] != before[1];
    }
    check(both, "preemption and round robin");
    check(vectors_kept[0] && vectors_kept[1], "SSE registers over preemption");
    for (const Thread& t : threads)
        need(t.dispatcher.stop(), "stop");
}

[[noreturn]] void crash(uint64_t) {
    (void)guest_try_read(reinterpret_cast<void*>(0x6000'0000'0000));
    give_up("a crash that did not happen");
}

void test_fault_report() {
    constexpr unsigned bit = 5;
    const CapSlot bell = new_slot();
    need(self().make_doorbell(place_of(bell), bit), "doorbell");
    const Thread other = make_thread(20, bell);
    start(other, &crash, 0);
    const uint64_t events = sleep_until(now() + seconds(5));
    const auto state = need(other.dispatcher.state(), "state");
    check((events >> bit & 1) != 0, "a fault rings the parent");
    check(state.vector == 14 && state.address == 0x6000'0000'0000, "the parent sees the fault");
}

/// The 8254 through the I/O APIC, where the firmware says that it is.
void test_interrupt() {
    constexpr unsigned bit = 6;
    const Pages boot = map(given("boot.info"), 0, page_bytes, abi::read);
    const auto& info = *reinterpret_cast<const abi::BootInfo*>(boot.at);
    check(info.magic == abi::boot_info_magic && info.core == 0, "hand-over page");
    const CapSlot bell = new_slot();
    need(self().make_doorbell(place_of(bell), bit), "doorbell");
    const CapSlot line = carve(given("interrupts"), Kind::interrupt, info.irq_gsi[0], 1);
    const os::PortRange ports{{given("ports")}};
    need(ports.out(0x43, 1, 0x34), "8254"); // channel 0, rate generator
    need(ports.out(0x40, 1, 0x00), "8254");
    need(ports.out(0x40, 1, 0x10), "8254"); // every 3.4 ms
    const auto mode = static_cast<abi::InterruptMode>(info.irq_mode[0]);
    need(os::InterruptLine{{line}}.bind(bell, mode), "bind");
    int came = 0;
    for (int i = 0; i < 10; ++i)
        if ((sleep_until(now() + seconds(1)) >> bit & 1) != 0) ++came;
    check(came == 10, "device interrupts");
    erase(line);
}

} // namespace

void test_this_core() {
    test_calls();
    test_sleep();
    test_faults();
    test_two_dispatchers();
    test_preemption();
    test_fault_report();
    test_interrupt();
}

} // namespace guest

/// Upcall: goes on behind the function that tried, with the answer that it faulted.
void guest_on_fault(abi::DispatcherPage* page) {
    abi::SaveArea& area = page->save[static_cast<size_t>(abi::Area::fault)];
    guest::last_vector = page->fault_vector;
    guest::last_address = page->fault_address;
    area.rip = reinterpret_cast<uint64_t>(&guest_recover);
    const os::Values which{static_cast<uint64_t>(abi::Area::fault)};
    (void)os::system_call(abi::Op::resume, {{abi::slot::dispatcher}}, which);
    guest::give_up("resume came back");
}
