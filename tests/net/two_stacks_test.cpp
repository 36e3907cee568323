// Two stacks and a bad link between them: lost, delayed, doubled, overtaken and damaged frames,
// all from one seed. What arrives must be what was sent.
#include <cstdlib>
#include <map>
#include <random>

#include "tests/net/support.hpp"

using namespace net;
using namespace bench;

namespace {

uint32_t seed_of(uint32_t standard) {
    const char* text = std::getenv("SEED");
    return text != nullptr ? uint32_t(std::atoi(text)) : standard;
}

struct Trouble {
    double loss = 0, duplicate = 0, damage = 0;
    int64_t delay_us = 500, jitter_us = 0;
    size_t queue = 1000; // frames on the way, then the link is full
};

struct Side final : Link, Events {
    struct Network* network{};
    int index{};
    std::vector<std::byte> memory;
    Stack* stack{};
    SocketId socket, listener;
    uint32_t sent = 0, received = 0, goal = 0;
    size_t requests = 0, segments = 0; // of trains that the link cut
    bool closed_write = false, saw_end = false, over = false, full = false;
    Err error = Err::none;

    Result<> transmit(std::span<const Bytes> pieces, LinkWork work) override;

    LinkAbilities abilities() const override;

    void launch(Octets frame);
    void socket_event(SocketId id, uint64_t, EventSet what) override;

    void lease_changed(const Lease*) override {}

    void pump();
};

struct Network {
    Side sides[2];
    Trouble trouble;
    LinkAbilities abilities;
    std::mt19937 random;
    Instant now{};
    std::multimap<int64_t, std::pair<int, Octets>> flying;
    size_t count[2]{};
    size_t lost_data[2]{}; // full segments, by their sender

    Network(const Trouble& given, uint32_t seed, uint32_t buffer = 65536, LinkAbilities able = {})
        : trouble{given}, abilities{able}, random{seed} {
        for (int i = 0; i < 2; ++i) {
            Side& side = sides[i];
            Config config = small_config();
            config.mac = MacAddress{{2, 0, 0, 0, 0, uint8_t(i + 1)}};
            config.secret = {seed, uint64_t(i)};
            config.stream_buffer_bytes = buffer;
            side.network = this;
            side.index = i;
            side.memory.resize(*Stack::memory_needed(config));
            side.stack = *Stack::create(side.memory, config, side, side, now);
            EXPECT_TRUE(side.stack->set_address({address(peer_ip + uint32_t(i)), 24}));
        }
    }

    bool chance(double p) { return std::uniform_real_distribution<>{0, 1}(random) < p; }

    void launch(int from, const Octets& frame) {
        const int64_t jitter =
            trouble.jitter_us == 0 ? 0 : int64_t(random() % uint64_t(trouble.jitter_us));
        flying.insert({now.ns + (trouble.delay_us + jitter) * 1000, {1 - from, frame}});
        ++count[from];
    }

    /// One event; false when nothing will ever happen again, or it is too late.
    bool step(Instant limit) {
        std::optional<Instant> next;
        if (!flying.empty()) next = Instant{flying.begin()->first};
        for (const Side& side : sides) {
            const auto due = side.stack->next_deadline();
            if (due && (!next || *due < *next)) next = *due;
        }
        if (!next || *next > limit) return false;
        now = std::max(now, *next);
        if (!flying.empty() && flying.begin()->first <= now.ns) {
            const auto [to, frame] = flying.begin()->second;
            flying.erase(flying.begin());
            --count[1 - to];
            Side& sender = sides[1 - to];
            sides[to].stack->receive(view(frame), now);
            if (sender.full && count[1 - to] < trouble.queue / 2) {
                sender.full = false;
                sender.stack->link_ready(now);
            }
        } else {
            for (Side& side : sides)
                side.stack->advance(now);
        }
        for (Side& side : sides)
            side.pump();
        return true;
    }

    bool done() const {
        return std::ranges::all_of(sides, [](const Side& side) {
            return side.received == side.goal && side.saw_end && side.over;
        });
    }

    /// Both sides send; the first also connects.
    void transfer(uint32_t there, uint32_t back, Duration limit) {
        sides[0].goal = back;
        sides[1].goal = there;
        sides[1].listener = *sides[1].stack->tcp_listen({ipv4_any, Port{5001}}, 4, 1);
        sides[0].socket =
            *sides[0].stack->tcp_connect({address(peer_ip + 1), Port{5001}}, {}, 2, now);
        while (!done() && step(Instant{} + limit)) {
        }
        for (int i = 0; i < 2; ++i) {
            EXPECT_EQ(sides[i].received, sides[i].goal) << "side " << i;
            EXPECT_TRUE(sides[i].saw_end) << "side " << i;
            EXPECT_EQ(sides[i].error, Err::none) << text_of(sides[i].error);
        }
    }
};

LinkAbilities Side::abilities() const {
    return network->abilities;
}

Result<> Side::transmit(std::span<const Bytes> pieces, LinkWork work) {
    if (network->count[index] >= network->trouble.queue) {
        full = true;
        return fail(Err::no_space);
    }
    Octets frame;
    for (const Bytes piece : pieces)
        frame = frame + octets_of(piece);
    const auto parts = LinkBench<uint8_t>::finished(frame, work);
    if (work.segment_bytes != 0) {
        ++requests;
        segments += parts.size();
    }
    for (const Octets& part : parts)
        launch(part);
    return {};
}

void Side::launch(Octets frame) {
    const Trouble& trouble = network->trouble;
    if (network->chance(trouble.loss)) {
        if (frame.size() > 1000) ++network->lost_data[index];
        return;
    }
    if (network->chance(trouble.duplicate)) network->launch(index, frame);
    if (network->chance(trouble.damage)) {
        frame[network->random() % frame.size()] ^= uint8_t(1 + network->random() % 255);
    }
    network->launch(index, frame);
}

void Side::socket_event(SocketId id, uint64_t, EventSet what) {
    if (what.has(Event::acceptable)) socket = *stack->tcp_accept(id, 2);
    if (what.has(Event::error)) error = *stack->take_error(id);
}

/// Does what an application would: sends all it has, reads what there is, closes at the end.
void Side::pump() {
    if (over || socket == SocketId{}) return;
    const Instant now = network->now;
    const uint32_t target = network->sides[1 - index].goal;
    while (sent < target) {
        const auto data = pattern_octets(sent, std::min<size_t>(target - sent, 3000));
        const auto taken = stack->tcp_send(socket, view(data), now);
        if (!taken) break;
        sent += uint32_t(*taken);
    }
    if (sent == target && !closed_write && stack->ready(socket)->has(Event::connected)) {
        closed_write = stack->tcp_shutdown(socket, now).has_value();
    }
    std::byte room[5000];
    for (;;) {
        const auto count = stack->tcp_receive(socket, room, now);
        if (!count) {
            if (count.error() == Err::end_of_file) saw_end = true;
            break;
        }
        ASSERT_EQ(octets_of(Bytes{room}.first(*count)), pattern_octets(received, *count));
        received += uint32_t(*count);
    }
    if (saw_end && closed_write) {
        over = true;
        EXPECT_TRUE(stack->tcp_close(socket, now));
    }
}

} // namespace

TEST(TwoStacks, AGoodLinkLosesNothingAndRepeatsNothing) {
    Network network{{}, seed_of(1)};
    network.transfer(300'000, 300'000, seconds(60));
    for (const Side& side : network.sides) {
        EXPECT_EQ(side.stack->counters().tcp_retransmitted, 0u);
        EXPECT_EQ(side.stack->counters().tcp_timeouts, 0u);
    }
    EXPECT_LT(network.now, Instant{} + seconds(1));
}

TEST(TwoStacks, WhatIsLeftToTheLinkArrivesAllTheSame) {
    Network network{{}, seed_of(1), 65536, {.sums = true}};
    network.transfer(300'000, 300'000, seconds(60));
    for (const Side& side : network.sides) {
        EXPECT_EQ(side.stack->counters().tcp_retransmitted, 0u);
        EXPECT_EQ(side.stack->drops()[Drop::tcp_bad_checksum], 0u);
    }
}

TEST(TwoStacks, TrainsThatTheLinkCutsArriveWholeThroughLossAndDisorder) {
    constexpr LinkAbilities cuts{.sums = true, .segments = true};
    const Trouble troubles[] = {
        {},
        {.queue = 100},
        {.loss = 0.02, .duplicate = 0.02, .damage = 0.02, .jitter_us = 2000},
    };
    for (const Trouble& trouble : troubles) {
        Network network{trouble, seed_of(11), 65536, cuts};
        network.transfer(300'000, 300'000, seconds(300));
        for (const Side& side : network.sides) {
            EXPECT_LT(side.requests * 2, side.segments) << "most go several at a time";
            if (trouble.loss == 0) EXPECT_EQ(side.stack->counters().tcp_retransmitted, 0u);
        }
    }
}

TEST(TwoStacks, AFullLinkIsNoLoss) {
    Network network{{.queue = 4}, seed_of(2)};
    network.transfer(300'000, 300'000, seconds(60));
    for (const Side& side : network.sides)
        EXPECT_EQ(side.stack->counters().tcp_timeouts, 0u);
}

TEST(TwoStacks, OnePercentLossIsRepairedWithoutWaiting) {
    Network network{{.loss = 0.01, .delay_us = 5000}, seed_of(3)};
    network.transfer(1'500'000, 1000, seconds(300));
    ASSERT_GT(network.lost_data[0], 0u) << "nothing was put to the test";
    EXPECT_GE(network.sides[0].stack->counters().tcp_retransmitted, network.lost_data[0]);
    EXPECT_LT(network.now, Instant{} + seconds(10));
}

TEST(TwoStacks, EverySortOfTroubleAtOnceForManySeeds) {
    const uint32_t first = seed_of(100);
    for (uint32_t seed = first; seed < first + 12; ++seed) {
        SCOPED_TRACE(testing::Message() << "SEED=" << seed);
        Network network{
            {.loss = 0.1, .duplicate = 0.05, .damage = 0.03, .delay_us = 2000, .jitter_us = 8000},
            seed
        };
        network.transfer(60'000, 60'000, seconds(1800));
        if (testing::Test::HasFailure()) break;
    }
}

TEST(TwoStacks, SmallBuffersAndReorderingForManySeeds) {
    const uint32_t first = seed_of(200);
    for (uint32_t seed = first; seed < first + 12; ++seed) {
        SCOPED_TRACE(testing::Message() << "SEED=" << seed);
        Network network{
            {.loss = 0.03, .duplicate = 0.1, .delay_us = 100, .jitter_us = 20'000, .queue = 6},
            seed,
            4096
        };
        network.transfer(40'000, 80'000, seconds(1800));
        if (testing::Test::HasFailure()) break;
    }
}

TEST(TwoStacks, SeveralConnectionsAtOnceOverLoopback) {
    Host host;
    const SocketId listener = *host.stack->tcp_listen({ipv4_any, Port{7}}, 10, 1);
    std::vector<SocketId> ours, theirs;
    for (int i = 0; i < 3; ++i) {
        ours.push_back(*host.stack->tcp_connect({address(0x7f000001), Port{7}}, {}, 2, host.now));
        theirs.push_back(*host.stack->tcp_accept(listener, 3));
    }
    for (uint32_t round = 0; round < 50; ++round) {
        for (size_t i = 0; i < ours.size(); ++i) {
            const Octets data = pattern_octets(round, 2000);
            ASSERT_EQ(*host.stack->tcp_send(ours[i], view(data), host.now), 2000u);
            host.pass(milliseconds(1));
            std::byte room[4000];
            ASSERT_EQ(*host.stack->tcp_receive(theirs[i], room, host.now), 2000u);
            ASSERT_EQ(octets_of(Bytes{room}.first(2000)), data);
        }
    }
    EXPECT_TRUE(host.wire.sent.empty());
}

// --- Frames that nobody would send

/// Random changes to frames that would otherwise mean something, with right checksums often
/// enough to get deep. Nothing to expect but that the sanitizers and invariants are silent, and
/// that the stack works afterwards.
TEST(Garbage, RandomFramesDoNoHarm) {
    const uint32_t seed = seed_of(300);
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    std::mt19937 engine{seed};
    const auto random = [&] { return uint32_t(engine()); };
    Host host;
    const SocketId echo = *host.stack->udp_bind({ipv4_any, Port{7}}, 1);
    const SocketId listener = *host.stack->tcp_listen({ipv4_any, Port{80}}, 4, 2);
    std::vector<SocketId> accepted;
    for (int i = 0; i < 40'000; ++i) {
        Octets payload = pattern_octets(random(), random() % 80);
        Ip header{.protocol = 6};
        if (random() % 16 == 0) header.fragment = random() & 0x3fff;
        if (random() % 16 == 0) header.options = Octets(4 * (random() % 4), uint8_t(random()));
        Octets s = be16(4000 + random() % 2) + be16(80) +
                   be32(random() % 2 == 0 ? random() % 99 : random()) + be32(random()) +
                   Octets{uint8_t((5 + random() % 3) << 4), uint8_t(random())} + be16(random()) +
                   be32(0) + payload;
        const uint16_t sum = transport_checksum(header, s);
        s[16] = uint8_t(sum >> 8);
        s[17] = uint8_t(sum);
        Octets frame;
        switch (random() % 5) {
        case 0: frame = arp({.operation = random() % 4, .sender = peer_ip + random() % 9}); break;
        case 1: frame = udp(random() & 0xffff, 7, payload); break;
        case 2:
            frame =
                icmp(uint8_t(random() % 16), uint8_t(random() % 4), random(), ip_packet(header, s));
            break;
        default: frame = ip(header, s);
        }
        for (uint32_t changes = random() % 3; changes > 0; --changes) {
            frame[random() % frame.size()] = uint8_t(random());
        }
        if (random() % 20 == 0) frame.resize(random() % (frame.size() + 1));
        host.receive(frame);
        if (random() % 50 == 0) host.pass(milliseconds(random() % 3000));
        if (const auto id = host.stack->tcp_accept(listener, 3)) accepted.push_back(*id);
        for (const SocketId id : accepted) {
            std::byte room[64];
            (void)host.stack->tcp_receive(id, room, host.now);
            (void)host.stack->tcp_send(id, view(payload), host.now);
        }
        if (accepted.size() > 2) {
            EXPECT_TRUE(host.stack->tcp_close(accepted.front(), host.now));
            accepted.erase(accepted.begin());
        }
        host.wire.sent.clear();
    }
    EXPECT_GT(host.all_drops(), 1000u);
    host.pass(seconds(400));
    for (const SocketId id : accepted)
        EXPECT_TRUE(host.stack->tcp_close(id, host.now));
    host.pass(seconds(400));
    host.receive(arp({}));
    std::byte room[2000];
    while (host.stack->udp_receive_from(echo, room)) {
    }
    host.receive(udp(5000, 7, {1, 2, 3}));
    EXPECT_EQ(host.stack->udp_receive_from(echo, room)->bytes, 3u) << "and it still works";
}

TEST(TwoStacks, ManyLossesAreRepairedByBlocksWithoutTimeouts) {
    const uint32_t first = seed_of(400);
    uint64_t timeouts = 0, repeated = 0;
    for (uint32_t seed = first; seed < first + 8; ++seed) {
        SCOPED_TRACE(testing::Message() << "SEED=" << seed);
        Network network{{.loss = 0.02, .delay_us = 10'000}, seed, 262'144};
        network.transfer(600'000, 1000, seconds(300));
        timeouts += network.sides[0].stack->counters().tcp_timeouts;
        repeated += network.sides[0].stack->counters().tcp_retransmitted;
    }
    // Only what was lost twice, or at an end with nothing after it, waits for the timer.
    EXPECT_GT(repeated, 40u);
    EXPECT_LT(timeouts, repeated / 5);
}
