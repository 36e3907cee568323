// Two domains with an established binding between them.
#pragma once

#include "tests/monitor/domain.hpp"

namespace monitor_test {

constexpr unsigned seeds = 40;

/// Runs `body` with many orders of delivery; SEED= sets the first.
template <class Body>
void with_seeds(Body&& body) {
    for (uint64_t seed = first_seed(); seed < first_seed() + seeds; ++seed) {
        SCOPED_TRACE("SEED=" + std::to_string(seed));
        body(seed);
        if (testing::Test::HasFailure()) return;
    }
}

struct Pair {
    Domain client, server;
    uint32_t client_end{}, server_end{};
    CapSlot frame{};        // the client's own of the channel
    CapSlot server_frame{}; // as the server got it

    Pair(World& world, unsigned from, unsigned to, std::string_view name = "pair", uint32_t id = 20)
        : client{world, from, id}, server{world, to, id + 1} {
        EXPECT_TRUE(server.monitor().offer(id + 1, name));
        world.settle();
        frame = client.kernel().frame();
        connect(world, name);
    }

    /// Another channel between the two, or a client of the same server.
    void connect(World& world, std::string_view name) {
        const auto copy = client.kernel().copy(frame);
        const auto bound = client.monitor().bind(client.badge, name, false, *copy);
        EXPECT_TRUE(bound);
        if (!bound) return;
        client_end = *bound;
        world.settle();
        const auto incoming = server.monitor().next(server.badge);
        EXPECT_EQ(incoming->notice, Notice::incoming);
        server_end = incoming->binding;
        server_frame = incoming->more;
        EXPECT_TRUE(server.monitor().answer(server.badge, server_end, Err::none));
        world.settle();
        EXPECT_EQ(client.next().notice, Notice::established);
    }
};

} // namespace monitor_test
