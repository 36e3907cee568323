#include "tests/ump/channel_fixture.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace {

using ump::Body;
using ump::Control;
using ump::Credit;

constexpr size_t lines = 8;
constexpr size_t capacity = lines - 1; // one line is kept for the close

struct Channel : testing::Test, TestChannel {
    Channel() : TestChannel{lines} {}

    Err send(ump::Endpoint& from, uint64_t value) {
        const auto sent = from.try_send(1, 0, body_of(value));
        return sent ? Err::none : sent.error().top();
    }

    /// What the client would put on the wire as its next message, but with a control word of ours.
    void forge(uint64_t message, uint64_t ack, uint16_t tag = 1) {
        ump::RealMemory::store(
            layout.client().out[(message - 1) % lines].control, Control::pack(message, ack, tag, 0)
        );
    }
};

TEST_F(Channel, DeliversInOrderWithTagAndFlow) {
    ASSERT_TRUE(client.try_send(7, 99, body_of(1)));
    ASSERT_TRUE(client.try_send(8, 100, body_of(2)));
    const auto first = receive(server);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->tag(), 7);
    EXPECT_EQ(first->flow(), 99);
    EXPECT_EQ(first->body, body_of(1));
    EXPECT_TRUE(server.has_message());
    EXPECT_EQ(receive(server)->body, body_of(2));
    EXPECT_FALSE(server.has_message());
    EXPECT_FALSE(receive(server));
    EXPECT_FALSE(receive(client)) << "one's own messages do not come back";
}

TEST_F(Channel, IsFullAfterARingLessOne) {
    for (size_t i = 0; i < capacity; ++i)
        ASSERT_EQ(send(client, i), Err::none) << i;
    EXPECT_EQ(send(client, 99), Err::channel_full);
    EXPECT_FALSE(client.has_credit());
    for (size_t i = 0; i < capacity; ++i)
        EXPECT_EQ(receive(server)->body, body_of(i));
}

TEST_F(Channel, CreditRidesOnAnAnswer) {
    for (size_t i = 0; i < capacity; ++i)
        ASSERT_EQ(send(client, i), Err::none);
    ASSERT_TRUE(receive(server));
    ASSERT_EQ(send(server, 0), Err::none);
    EXPECT_EQ(send(client, 7), Err::channel_full) << "the answer has not been read yet";
    ASSERT_TRUE(receive(client));
    EXPECT_EQ(send(client, 7), Err::none);
    EXPECT_EQ(send(client, 8), Err::channel_full);
}

TEST_F(Channel, CreditIsToldAsideWhenNothingGoesBack) {
    for (uint64_t i = 0; i < 10'000; ++i) {
        while (send(client, i) == Err::channel_full) {
            for (size_t n = 0; n < lines / 2; ++n)
                ASSERT_TRUE(receive(server));
        }
        ASSERT_FALSE(client.closed());
    }
    EXPECT_EQ(server.sent(), 0u);
}

TEST_F(Channel, AnAnswerOlderThanTheCreditWordIsNoForgery) {
    // The server answers once early; its line stays unread while 100,000 messages are
    // acknowledged aside. Then the line is read: its number is no news, and no lap ahead.
    ASSERT_EQ(send(server, 1), Err::none);
    for (uint64_t i = 0; i < 100'000; ++i) {
        while (send(client, i) == Err::channel_full)
            for (size_t n = 0; n < lines / 2; ++n)
                ASSERT_TRUE(receive(server));
    }
    ASSERT_TRUE(receive(client));
    EXPECT_FALSE(client.closed());
    size_t sent = 0;
    while (send(client, 0) == Err::none)
        ++sent;
    size_t unread = 0;
    while (receive(server))
        ++unread;
    EXPECT_LE(sent, capacity);
    EXPECT_LE(unread, capacity) << "a line was overwritten before it was read";
}

TEST_F(Channel, AnyMixOfTrafficKeepsOrderAndContent) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random{seed};
    uint64_t sent[2]{}, got[2]{};
    ump::Endpoint* const side[2]{&client, &server};
    for (int step = 0; step < 300'000; ++step) {
        if (step % 1000 == 0) random.discard(1);
        // long stretches in which a side only sends, or does nothing at all
        const unsigned phase = unsigned(step / 5000) % 4;
        const unsigned who = random() % 2;
        const bool sends = phase == who ? random() % 8 == 0 : random() % 2 == 0;
        if (phase == 2 + who) continue;
        if (sends) {
            if (side[who]->try_send(1, 0, body_of(sent[who]))) ++sent[who];
        } else if (const auto m = receive(*side[who])) {
            ASSERT_EQ(m->body, body_of(got[who]++));
        }
        ASSERT_FALSE(client.closed() || server.closed());
    }
    EXPECT_GT(got[0] + got[1], 10'000u);
}

TEST_F(Channel, AForgedAcknowledgementClosesIt) {
    for (uint64_t ack : {1ul, 5ul, 0x8000ul, 0xfffful}) {
        TestChannel c{lines};
        ASSERT_TRUE(c.client.try_send(1, 0, {}));
        ump::RealMemory::store(c.layout.client().out[0].control, Control::pack(1, ack, 1, 0));
        EXPECT_FALSE(receive(c.server)) << "nothing of such a peer is believed";
        EXPECT_EQ(c.server.closed_because(), Err::protocol) << ack;
        EXPECT_EQ(c.server.try_send(1, 0, {}).error().top(), Err::channel_closed);
        receive(c.client);
        EXPECT_EQ(c.client.closed_because(), Err::channel_closed) << "and it is told";
    }
}

TEST_F(Channel, AnAcknowledgementMayNotGoBack) {
    for (uint64_t i = 0; i < 3; ++i)
        ASSERT_EQ(send(server, i), Err::none);
    forge(1, 2);
    ASSERT_TRUE(receive(server));
    forge(2, 1);
    EXPECT_FALSE(receive(server));
    EXPECT_EQ(server.closed_because(), Err::protocol);
}

TEST_F(Channel, AForgedCreditWordClosesIt) {
    for (uint64_t word : {Credit::pack(capacity + 1, 0), Credit::pack(5, 9), ~uint64_t{0}}) {
        TestChannel c{lines};
        for (uint64_t i = 0; i < capacity; ++i)
            ASSERT_TRUE(c.server.try_send(1, 0, {}));
        ump::RealMemory::store(c.layout.client().own->credit, word);
        EXPECT_EQ(c.server.try_send(1, 0, {}).error().top(), Err::channel_closed);
        EXPECT_EQ(c.server.closed_because(), Err::protocol);
    }
}

TEST_F(Channel, GarbageIsAMessageOrNothingOrTheEnd) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937_64 random{seed};
    for (int round = 0; round < 2000; ++round) {
        TestChannel c{lines};
        for (int step = 0; step < 50; ++step) {
            const ump::Side evil = c.layout.client();
            const uint64_t likely =
                Control::pack(c.server.received() + random() % 3, random() % 9, 1, 0);
            evil.out[random() % lines].control = random() % 2 == 0 ? random() : likely;
            evil.own->credit =
                random() % 2 == 0 ? random() : Credit::pack(random() % 20, random() % 20);
            evil.own->epoch = random() % 4;
            (void)receive(c.server);
            (void)c.server.try_send(1, 0, {});
            c.server.notify(c.client_bell);
            ASSERT_LE(c.server.received(), uint64_t(step + 1));
        }
    }
}

TEST_F(Channel, CloseComesAfterTheLastMessageEvenWhenFull) {
    for (size_t i = 0; i < capacity; ++i)
        ASSERT_EQ(send(client, i), Err::none);
    client.close();
    EXPECT_EQ(send(client, 0), Err::channel_closed);
    for (size_t i = 0; i < capacity; ++i)
        ASSERT_TRUE(receive(server)) << i;
    EXPECT_FALSE(server.closed());
    EXPECT_TRUE(server.has_message()) << "the close is there to be read";
    EXPECT_FALSE(receive(server));
    EXPECT_EQ(server.closed_because(), Err::channel_closed);
    EXPECT_EQ(send(server, 0), Err::channel_closed);
    client.close();
    EXPECT_FALSE(server.has_message()) << "closing twice says nothing new";
}

TEST_F(Channel, WhoHasEndedStillReadsUpToThePeersEnd) {
    ASSERT_EQ(send(client, 1), Err::none);
    ASSERT_EQ(send(server, 2), Err::none);
    client.end();
    EXPECT_FALSE(client.closed());
    EXPECT_EQ(receive(client)->body, body_of(2));
    ASSERT_EQ(send(server, 3), Err::none) << "it has not read the end yet";
    EXPECT_EQ(receive(server)->body, body_of(1));
    EXPECT_FALSE(receive(server));
    EXPECT_EQ(server.closed_because(), Err::channel_closed);
    EXPECT_EQ(receive(client)->body, body_of(3));
    EXPECT_FALSE(receive(client));
    EXPECT_EQ(client.closed_because(), Err::channel_closed) << "reading an end answers it";
}

TEST_F(Channel, AnEndIsOneAfterAnyNumberOfMessages) {
    // Its acknowledgement must look impossible wherever the counters stand.
    for (uint64_t i = 0; i < 70'000; ++i) {
        ASSERT_EQ(send(client, i), Err::none);
        ASSERT_TRUE(receive(server));
        ASSERT_EQ(send(server, i), Err::none);
        ASSERT_TRUE(receive(client));
    }
    client.close();
    EXPECT_FALSE(receive(server));
    EXPECT_EQ(server.closed_because(), Err::channel_closed);
}

TEST_F(Channel, AClosedEndReadsNothingMore) {
    ASSERT_EQ(send(client, 1), Err::none);
    server.close();
    EXPECT_FALSE(receive(server));
    EXPECT_FALSE(server.has_message());
}

TEST_F(Channel, RingsOnlyASleeperAndOnceAnEpoch) {
    ASSERT_EQ(send(client, 1), Err::none);
    client.notify(server_bell);
    EXPECT_EQ(server_bell.rings, 0) << "nobody sleeps";
    server.arm(5);
    client.notify(server_bell);
    EXPECT_EQ(server_bell.rings, 0) << "nothing new was sent";
    ASSERT_EQ(send(client, 2), Err::none);
    client.notify(server_bell);
    ASSERT_EQ(send(client, 3), Err::none);
    client.notify(server_bell);
    EXPECT_EQ(server_bell.rings, 1);
    server.arm(6);
    ASSERT_EQ(send(client, 4), Err::none);
    client.notify(server_bell);
    EXPECT_EQ(server_bell.rings, 2);
    server.disarm();
    ASSERT_EQ(send(client, 5), Err::none);
    client.notify(server_bell);
    EXPECT_EQ(server_bell.rings, 2);
}

/// RealMemory, and how often a core waits for its own stores.
struct CountingMemory : ump::RealMemory {
    static inline int fences{};

    static void fence_after_publish() {
        ++fences;
        RealMemory::fence_after_publish();
    }
};

TEST(ChannelCost, ABatchTakesOneFenceAndAtMostOneRing) {
    alignas(64) static std::array<ump::BasicLine<CountingMemory>, 32> up, down;
    static std::array<ump::BasicControlLine<CountingMemory>, 2> control;
    ump::BasicEndpoint<CountingMemory> client{{up, down, &control[0], &control[1]}};
    ump::BasicEndpoint<CountingMemory> server{{down, up, &control[1], &control[0]}};
    CountingBell bell, back;
    uint64_t epoch = 0, got = 0;
    constexpr int batches = 1000;
    for (const int batch : {1, 4, 16}) {
        CountingMemory::fences = bell.rings = back.rings = 0;
        for (int i = 0; i < batches; ++i) {
            server.arm(++epoch); // it sleeps before each
            for (int n = 0; n < batch; ++n)
                ASSERT_TRUE(client.try_send(1, 0, {}));
            client.notify(bell);
            server.disarm();
            for (ump::Message message; server.try_recv(message);)
                ++got;
            server.notify(back);
        }
        const int asides = batches * batch / 16; // half a ring each
        EXPECT_EQ(bell.rings, batches);
        EXPECT_EQ(back.rings, 0) << "nobody sleeps there";
        EXPECT_LE(CountingMemory::fences, batches + asides);
        std::printf(
            "batches of %d: %.3f fences and %.3f rings a message\n",
            batch,
            double(CountingMemory::fences) / batches / batch,
            double(bell.rings) / batches / batch
        );
    }
    EXPECT_EQ(got, uint64_t{batches} * (1 + 4 + 16));
}

TEST_F(Channel, CreditWakesASenderThatSleeps) {
    while (send(client, 0) == Err::none) {
    }
    client.arm(1);
    for (size_t i = 0; i < lines / 2; ++i)
        ASSERT_TRUE(receive(server, client_bell));
    EXPECT_EQ(client_bell.rings, 1);
    EXPECT_TRUE(client.has_credit());
}

TEST(ChannelLayout, PartsAreDisjointAndInside) {
    TestFrame frame{4096};
    const auto layout = ump::Layout::carve(frame.bytes(), 16);
    ASSERT_TRUE(layout);
    const auto client = layout->client(), server = layout->server();
    EXPECT_EQ(client.out.data(), server.in.data());
    EXPECT_EQ(client.in.data(), server.out.data());
    EXPECT_EQ(client.own, server.peer);
    EXPECT_EQ(layout->bulk().size(), 4096u - 128 - 2 * 16 * 64);
    EXPECT_EQ(
        static_cast<const void*>(layout->bulk().data()),
        static_cast<const void*>(server.out.data() + 16)
    );
    EXPECT_EQ(client.out.data() + 16, server.out.data());
}

TEST(ChannelLayout, RefusesOddSizes) {
    TestFrame frame{4096};
    for (size_t n : {0u, 1u, 2u, 3u, 12u, 65536u})
        EXPECT_EQ(ump::Layout::carve(frame.bytes(), n).error().top(), Err::bad_argument) << n;
    EXPECT_EQ(ump::Layout::carve(frame.bytes(), 32).error().top(), Err::truncated);
    EXPECT_EQ(ump::Layout::carve(frame.bytes().subspan(8), 8).error().top(), Err::misaligned);
}

TEST(ChannelLayout, ClearForgetsAnEarlierLife) {
    TestFrame frame{4096};
    const auto layout = *ump::Layout::carve(frame.bytes(), 4);
    {
        ump::Endpoint client{layout.client()};
        ASSERT_TRUE(client.try_send(1, 0, {}));
        client.arm(1);
    }
    layout.clear();
    ump::Endpoint server{layout.server()};
    EXPECT_FALSE(server.has_message());
}

} // namespace
