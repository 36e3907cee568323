// Two stacks that talk through a link which does what the input says: loses, doubles, overtakes,
// damages, and changes fields with the checksums set right again; while applications write, read,
// close and open at any moment. As long as nothing was forged, what is read is what was written.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <vector>

#include "lib/base/invariant.hpp"
#include "net/checksum.hpp"
#include "net/stack.hpp"
#include "tests/net/link_work.hpp"
#include "tests/net/pair.hpp"

void invariant_broken(const char*, const char*, const std::source_location&) {
    std::abort();
}

namespace {

using namespace net;
using Frame = std::vector<std::byte>;

// Of all inputs of this run, printed at its end.
uint64_t frames_delivered, segments_taken;

void print_totals() {
    std::fprintf(
        stderr,
        "frames across the link %llu, of them valid segments of a live connection %llu\n",
        static_cast<unsigned long long>(frames_delivered),
        static_cast<unsigned long long>(segments_taken)
    );
}

std::byte pattern(uint64_t at) {
    return std::byte(at * 167 + (at >> 8));
}

struct Side final : Link, Events {
    Stack* stack{};
    Frame memory;
    std::deque<Frame> sent;
    bool refuses = false;
    LinkAbilities able;
    SocketId listener, socket;
    uint64_t written{}, was_read{};

    Result<> transmit(std::span<const Bytes> pieces, LinkWork work) override {
        if (refuses) return fail(Err::no_space);
        Frame whole;
        for (const Bytes piece : pieces)
            whole.insert(whole.end(), piece.begin(), piece.end());
        if (work.sum != LinkWork::Sum::none && !able.sums) std::abort();
        if (work.segment_bytes != 0 && !able.segments) std::abort();
        for (Frame& frame : bench::LinkBench<std::byte>::finished(whole, work)) {
            if (frame.size() < 14 || frame.size() > 1514) std::abort();
            sent.push_back(std::move(frame));
        }
        return {};
    }

    LinkAbilities abilities() const override { return able; }

    void socket_event(SocketId, uint64_t, EventSet) override {}

    void lease_changed(const Lease*) override {}
};

void put16(Frame& frame, size_t at, uint16_t value) {
    frame[at] = std::byte(value >> 8);
    frame[at + 1] = std::byte(value & 0xff);
}

/// The checksums of a TCP segment without IP options, after a field was changed.
void repair(Frame& frame) {
    if (frame.size() < 54 || frame[23] != std::byte{6}) return;
    put16(frame, 24, 0);
    Checksum ip;
    ip.add(Bytes{frame}.subspan(14, 20));
    put16(frame, 24, ip.finish());
    put16(frame, 50, 0);
    Checksum sum;
    sum.add(Bytes{frame}.subspan(26, 8)); // both addresses
    sum.add_number(6);
    sum.add_number(frame.size() - 34);
    sum.add(Bytes{frame}.subspan(34));
    put16(frame, 50, sum.finish());
}

class Play {
  public:
    explicit Play(std::span<const uint8_t> input) : input_{input} {
        for (uint8_t i = 0; i < 2; ++i)
            make(sides_[i], uint8_t(i + 1));
        const Endpoint here{ipv4_any, Port{80}};
        for (Side& side : sides_)
            side.listener = *side.stack->tcp_listen(here, 4, 1);
        connect(sides_[0]);
        settle();
        accept(sides_[1]);
    }

    ~Play() {
        for (uint8_t i = 0; i < 2; ++i)
            sides_.at(i).memory.swap(kept(uint8_t(i + 1)));
        for (const Side& side : sides_) {
            const Drops& drops = side.stack->drops();
            frames_delivered += side.stack->counters().frames_in;
            segments_taken += side.stack->counters().tcp_in - drops[Drop::tcp_bad_checksum] -
                              drops[Drop::tcp_no_connection] - drops[Drop::tcp_bad_offset] -
                              drops[Drop::tcp_bad_flags] - drops[Drop::tcp_truncated] -
                              drops[Drop::tcp_bad_option];
        }
    }

    void run() {
        while (!input_.empty()) {
            const uint8_t what = take();
            act(what & 15, sides_[what >> 4 & 1], take());
            if ((what & 0x20) != 0) settle();
        }
        settle();
    }

  private:
    uint8_t take() {
        if (input_.empty()) return 0;
        const uint8_t octet = input_[0];
        input_ = input_.subspan(1);
        return octet;
    }

    void make(Side& side, uint8_t number) {
        Config config;
        config.connections = 6;
        config.stream_buffer_bytes = 16384;
        config.stream_memory_bytes = 65536;
        config.datagram_sockets = 1;
        config.datagram_buffer_bytes = 4096;
        config.reassemblies = 1;
        config.ping_sockets = 0;
        const uint8_t able = take(); // does the card sum up, and cut?
        side.able = {.sums = (able & 1) != 0, .segments = (able & 3) == 3};
        side.memory.swap(kept(number));
        bench::make_stack(side, number, config, now_);
    }

    /// A stack's memory from one input to the next.
    static Frame& kept(uint8_t number) {
        static std::array<Frame, 3> memories;
        return memories.at(number);
    }

    Side& other(const Side& side) { return sides_[&side == &sides_[0] ? 1 : 0]; }

    void connect(Side& side) {
        const uint8_t number = &side == &sides_[0] ? 2 : 1;
        const Endpoint to{Ipv4Address{10, 0, 0, number}, Port{80}};
        const auto made = side.stack->tcp_connect(to, {}, 2, now_);
        if (made) begin(side, *made);
    }

    void accept(Side& side) {
        const auto made = side.stack->tcp_accept(side.listener, 3);
        if (made) begin(side, *made);
    }

    /// Which streams belong together is known of the first two only.
    void begin(Side& side, SocketId socket) {
        if (side.socket.kind() != SocketKind::none) {
            forged_ = true;
            (void)side.stack->tcp_close(side.socket, now_);
        }
        side.socket = socket;
        side.written = side.was_read = 0;
    }

    void deliver(Side& from) {
        if (from.sent.empty()) return;
        const Frame frame = std::move(from.sent.front());
        from.sent.pop_front();
        other(from).stack->receive(frame, now_);
    }

    void settle() {
        for (int i = 0; i < 200 && !(sides_[0].sent.empty() && sides_[1].sent.empty()); ++i) {
            deliver(sides_[0]);
            deliver(sides_[1]);
        }
    }

    void write(Side& side, size_t bytes) {
        Frame data(bytes);
        for (size_t i = 0; i < bytes; ++i)
            data[i] = pattern(side.written + i);
        const bool urgent = bytes % 97 == 3;
        const auto taken = urgent ? side.stack->tcp_send_urgent(side.socket, data, now_)
                                  : side.stack->tcp_send(side.socket, data, now_);
        if (taken) side.written += *taken;
    }

    void read(Side& side, size_t bytes) {
        Frame room(bytes + 1);
        const auto got = side.stack->tcp_receive(side.socket, room, now_);
        if (!got) return;
        for (size_t i = 0; i < *got && !forged_; ++i) {
            if (room[i] != pattern(side.was_read + i)) std::abort();
        }
        side.was_read += *got;
        if (!forged_ && side.was_read > other(side).written) std::abort();
    }

    void forge(Side& from, uint8_t where, uint8_t what) {
        if (from.sent.empty()) return;
        Frame& frame = from.sent.front();
        const size_t at = 34 + where % 40;
        if (at >= frame.size()) return;
        forged_ = true;
        frame[at] = std::byte{what};
        repair(frame);
    }

    void act(uint8_t what, Side& side, uint8_t how) {
        Frame* first = side.sent.empty() ? nullptr : &side.sent.front();
        switch (what) {
        case 0: return deliver(side);
        case 1:
            if (first != nullptr) side.sent.pop_front();
            return;
        case 2:
            if (first != nullptr) side.sent.push_back(*first);
            return;
        case 3:
            if (first != nullptr)
                std::rotate(side.sent.begin(), side.sent.begin() + 1, side.sent.end());
            return;
        case 4:
            if (first != nullptr) (*first)[14 + how % (first->size() - 14)] ^= std::byte{1};
            return;
        case 5: return forge(side, how, take());
        case 6:
            now_ = now_ + milliseconds(int64_t{how} * how);
            for (Side& each : sides_)
                each.stack->advance(now_);
            return;
        case 7: return write(side, size_t{how} * 16 + 1);
        case 8: return read(side, size_t{how} * 16);
        case 9: return void(side.stack->tcp_shutdown(side.socket, now_));
        case 10: return connect(side);
        case 11: return accept(side);
        case 12:
            side.refuses = (how & 1) != 0;
            if (!side.refuses) side.stack->link_ready(now_);
            return;
        case 13:
            if (how % 8 == 0) (void)side.stack->tcp_abort(side.socket, now_);
            if (how % 8 == 1) (void)side.stack->tcp_close(side.socket, now_);
            return;
        case 14:
            (void)side.stack->tcp_configure(
                side.socket,
                {.keep_idle_seconds = uint16_t(how >> 3),
                 .no_delay = (how & 1) != 0,
                 .cork = (how & 2) != 0,
                 .quick_ack = (how & 4) != 0},
                now_
            );
            return;
        default: return settle();
        }
    }

    std::span<const uint8_t> input_;
    std::array<Side, 2> sides_;
    Instant now_{seconds(1000).ns};
    bool forged_{};
};

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    return std::atexit(print_totals);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Play{{data, size}}.run();
    return 0;
}
