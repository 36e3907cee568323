// What the network stack costs by the instruction: two stacks joined by a wire that costs nothing,
// the objects of the running system, and a trap after each instruction while something is measured.
// Prints `row NAME TIMES`, then `ADDRESS COUNT` lines; tools/net_costs.py makes a table of it.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <ucontext.h>
#include <vector>

#include "lib/base/wheel.hpp"
#include "net/stack.hpp"
#include "tests/net/pair.hpp"

void invariant_broken(const char* what, const char* why, const std::source_location&) {
    std::fprintf(stderr, "%s: %s\n", what, why);
    std::abort();
}

namespace {

using namespace net;

// --- Counting

constexpr size_t text_bytes = 4 << 20;
constexpr uintptr_t text_base = 0x200000; // of a program that is not position independent
std::vector<uint32_t> hits(text_bytes);
uint64_t elsewhere; // in shared libraries: only copying is done there

void on_trap(int, siginfo_t*, void* context) {
    const auto at = uintptr_t(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
    if (at - text_base < text_bytes) {
        ++hits[at - text_base];
    } else {
        ++elsewhere;
    }
}

template <class F>
void counted(F&& work) {
    constexpr uint64_t trap_flag = 0x100;
    asm volatile("pushfq; orq %0, (%%rsp); popfq" ::"i"(trap_flag) : "memory", "cc");
    work();
    asm volatile("pushfq; andq %0, (%%rsp); popfq" ::"i"(~trap_flag) : "memory", "cc");
}

void print_row(const char* name, int times) {
    std::printf("row %s %d\n", name, times);
    for (size_t i = 0; i < hits.size(); ++i) {
        if (hits[i] != 0) std::printf("%zx %u\n", text_base + i, hits[i]);
        hits[i] = 0;
    }
    std::printf("0 %lu\n", elsewhere);
    elsewhere = 0;
}

// --- Two stacks

struct Side final : Link, Events {
    std::deque<std::vector<std::byte>> sent;
    std::vector<std::byte> memory, frame = std::vector<std::byte>(1600);
    size_t frame_bytes{};
    bool discards{};
    Stack* stack{};
    SocketId accepted, listener;

    Result<> transmit(std::span<const Bytes> pieces, LinkWork) override {
        if (discards) return {};
        std::vector<std::byte> whole;
        for (const Bytes piece : pieces)
            whole.insert(whole.end(), piece.begin(), piece.end());
        sent.push_back(whole);
        return {};
    }

    void socket_event(SocketId id, uint64_t cookie, EventSet what) override {
        if (cookie == 1 && what.has(Event::acceptable)) accepted = *stack->tcp_accept(id, 2);
    }

    void lease_changed(const Lease*) override {}
};

struct Pair {
    Side ours, theirs;
    Instant now{seconds(1000).ns};

    Pair() {
        Config config;
        config.connections = 1024;
        config.stream_buffer_bytes = 16384;
        bench::make_stack(ours, 2, config, now);
        bench::make_stack(theirs, 1, config, now);
        ours.listener = *ours.stack->tcp_listen({ipv4_any, Port{80}}, 64, 1);
    }

    /// Lets the frames go to and fro until there are none.
    void settle() {
        while (!ours.sent.empty() || !theirs.sent.empty()) {
            pass(theirs, ours);
            pass(ours, theirs);
        }
    }

    void pass(Side& from, Side& to) {
        while (!from.sent.empty()) {
            const auto frame = from.sent.front();
            from.sent.pop_front();
            to.stack->receive(frame, now);
        }
    }

    void wait(Duration span) {
        now = now + span;
        ours.stack->advance(now);
        theirs.stack->advance(now);
        settle();
    }

    /// Theirs and ours.
    std::pair<SocketId, SocketId> connect() {
        const Endpoint to{Ipv4Address{10, 0, 0, 2}, Port{80}};
        const SocketId id = *theirs.stack->tcp_connect(to, {}, 2, now);
        settle();
        return {id, ours.accepted};
    }

    /// The frame in which theirs sends `bytes`.
    std::vector<std::byte> segment(SocketId id, size_t bytes) {
        const std::vector<std::byte> data(bytes);
        if (theirs.stack->tcp_send(id, data, now) != bytes) std::abort();
        const auto frame = theirs.sent.front();
        theirs.sent.pop_front();
        return frame;
    }

    void read(SocketId id) {
        static std::vector<std::byte> room(65536);
        (void)ours.stack->tcp_receive(id, room, now);
    }
};

constexpr int warm = 20, times = 50;
constexpr size_t full = 1448;

/// Data in order; the acknowledgement is put off.
void input(const char* name, size_t connections) {
    Pair pair;
    std::vector<std::pair<SocketId, SocketId>> ids;
    for (size_t i = 0; i < connections; ++i)
        ids.push_back(pair.connect());
    pair.wait(milliseconds(100));
    const int rounds = connections == 1 ? warm + times : int(connections);
    int done = 0;
    for (int i = 0; i < rounds; ++i) {
        const auto [theirs, ours] = ids[size_t(i) % connections];
        const auto frame = pair.segment(theirs, full);
        if (i >= warm) {
            counted([&] { pair.ours.stack->receive(frame, pair.now); });
            ++done;
        } else {
            pair.ours.stack->receive(frame, pair.now);
        }
        pair.read(ours);
        const auto second = pair.segment(theirs, full); // so that the next one is a first again
        pair.ours.stack->receive(second, pair.now);
        pair.read(ours);
        pair.settle();
        pair.now = pair.now + milliseconds(2);
    }
    print_row(name, done);
}

/// A bare acknowledgement of all that is in flight.
void input_acknowledgement() {
    Pair pair;
    const auto [theirs, ours] = pair.connect();
    for (int i = 0; i < warm + times; ++i) {
        const std::vector<std::byte> data(full);
        (void)pair.ours.stack->tcp_send(ours, data, pair.now);
        pair.pass(pair.ours, pair.theirs);
        static std::vector<std::byte> room(65536);
        (void)pair.theirs.stack->tcp_receive(theirs, room, pair.now);
        pair.now = pair.now + milliseconds(50);
        pair.theirs.stack->advance(pair.now);
        if (pair.theirs.sent.size() != 1) std::abort();
        const auto frame = pair.theirs.sent.front();
        pair.theirs.sent.pop_front();
        if (i >= warm) {
            counted([&] { pair.ours.stack->receive(frame, pair.now); });
        } else {
            pair.ours.stack->receive(frame, pair.now);
        }
    }
    print_row("tcp_input_ack", times);
}

/// From the application's call to the link.
void output() {
    Pair pair;
    const auto [theirs, ours] = pair.connect();
    const std::vector<std::byte> data(full);
    for (int i = 0; i < warm + times; ++i) {
        pair.ours.discards = true; // building the test's own frame is not to be counted
        if (i >= warm) {
            counted([&] { (void)pair.ours.stack->tcp_send(ours, data, pair.now); });
        } else {
            (void)pair.ours.stack->tcp_send(ours, data, pair.now);
        }
        pair.ours.discards = false;
        pair.wait(milliseconds(300)); // it is repeated, arrives, and is acknowledged
        pair.wait(milliseconds(50));
        static std::vector<std::byte> room(65536);
        (void)pair.theirs.stack->tcp_receive(theirs, room, pair.now);
        pair.settle();
    }
    print_row("tcp_output", times);
}

void datagrams() {
    Pair pair;
    const SocketId ours = *pair.ours.stack->udp_bind({ipv4_any, Port{7}}, 3);
    const SocketId theirs = *pair.theirs.stack->udp_bind({ipv4_any, Port{9}}, 3);
    const std::vector<std::byte> data(64);
    std::vector<std::byte> room(128);
    std::deque<std::vector<std::byte>> frames;
    const Endpoint us{Ipv4Address{10, 0, 0, 2}, Port{7}}, them{Ipv4Address{10, 0, 0, 1}, Port{9}};
    (void)pair.theirs.stack->udp_send_to(theirs, us, data, pair.now);
    pair.settle();
    for (int i = 0; i < times; ++i) {
        (void)pair.theirs.stack->udp_send_to(theirs, us, data, pair.now);
        const auto frame = pair.theirs.sent.front();
        pair.theirs.sent.clear();
        counted([&] { pair.ours.stack->receive(frame, pair.now); });
        (void)pair.ours.stack->udp_receive_from(ours, room);
    }
    print_row("udp_input", times);
    pair.ours.discards = true;
    for (int i = 0; i < times; ++i) {
        counted([&] { (void)pair.ours.stack->udp_send_to(ours, them, data, pair.now); });
    }
    print_row("udp_output", times);
}

[[gnu::noinline]] void set_timer(Wheel& wheel, Timer& timer, Instant when) {
    wheel.arm(timer, when);
}

[[gnu::noinline]] void cancel_timer(Wheel& wheel, Timer& timer) {
    wheel.cancel(timer);
}

void timers() {
    Wheel wheel{Instant{}};
    Timer others[100], timer;
    for (int i = 0; i < 100; ++i)
        wheel.arm(others[i], Instant{} + milliseconds(37 * i));
    for (int i = 0; i < times; ++i) {
        counted([&] { set_timer(wheel, timer, Instant{} + milliseconds(40 + 7 * i)); });
        wheel.cancel(timer);
    }
    print_row("timer_set", times);
    for (int i = 0; i < times; ++i) {
        wheel.arm(timer, Instant{} + milliseconds(40 + 7 * i));
        counted([&] { cancel_timer(wheel, timer); });
    }
    print_row("timer_cancel", times);
    for (Timer& other : others)
        wheel.cancel(other);
}

} // namespace

int main() {
    struct sigaction action{};
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, nullptr);
    input("tcp_input", 1);
    input("tcp_input_1000", 1000);
    input_acknowledgement();
    output();
    datagrams();
    timers();
}
