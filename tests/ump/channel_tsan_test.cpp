// Two threads, one channel, under ThreadSanitizer: no word is shared without an order.
#include "tests/ump/channel_fixture.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace {

constexpr uint64_t messages = 200'000;

struct AtomicBell {
    std::atomic<uint32_t> rung{};

    void ring() {
        rung.fetch_add(1);
        rung.notify_one();
    }
};

/// Sleeps as the event loop does: arm, fence, look again, block until the bell.
void wait_for(ump::Endpoint& end, AtomicBell& bell, uint64_t epoch, bool for_credit) {
    const uint32_t before = bell.rung.load();
    end.arm(epoch);
    ump::RealMemory::fence_after_arm();
    if (!end.has_message() && !(for_credit && end.has_credit()) && !end.closed())
        bell.rung.wait(before);
    end.disarm();
}

void send_all(ump::Endpoint& end, AtomicBell& own, AtomicBell& peer) {
    uint64_t epoch = 0;
    for (uint64_t i = 0; i < messages;) {
        if (end.try_send(1, 0, body_of(i)))
            ++i;
        else
            wait_for(end, own, ++epoch, true);
        end.notify(peer);
    }
    end.close();
    end.notify(peer);
}

uint64_t receive_all(ump::Endpoint& end, AtomicBell& own, AtomicBell& peer, bool answers) {
    uint64_t epoch = 0, got = 0;
    while (!end.closed()) {
        if (const auto m = receive(end, peer)) {
            if (m->body != body_of(got++)) return 0;
            if (answers && got % 3 == 0) (void)end.try_send(2, 0, {});
        } else if (!end.closed()) {
            wait_for(end, own, ++epoch, false);
        }
        end.notify(peer);
    }
    return got;
}

/// As send_all, but it reads what comes back, and ends by half: it hears the end as well.
void converse(ump::Endpoint& end, AtomicBell& own, AtomicBell& peer) {
    uint64_t epoch = 0;
    for (uint64_t i = 0; i < messages;) {
        while (receive(end, peer)) {
        }
        if (end.try_send(1, 0, body_of(i)))
            ++i;
        else
            wait_for(end, own, ++epoch, true);
        end.notify(peer);
    }
    end.end();
    end.notify(peer);
    while (!end.closed())
        if (!receive(end, peer) && !end.closed()) wait_for(end, own, ++epoch, false);
}

void run(bool answers) {
    TestChannel c{64};
    AtomicBell client_bell, server_bell;
    uint64_t got = 0;
    std::thread server{[&] { got = receive_all(c.server, server_bell, client_bell, answers); }};
    if (answers)
        converse(c.client, client_bell, server_bell);
    else
        send_all(c.client, client_bell, server_bell);
    server.join();
    EXPECT_EQ(got, messages);
    EXPECT_EQ(c.server.closed_because(), Err::channel_closed);
}

TEST(ChannelThreads, TwoHundredThousandMessagesOneWay) {
    run(false);
}

TEST(ChannelThreads, AnswersComeBackUpToAnOrderlyEnd) {
    run(true);
}

} // namespace
