// An application behind a real channel to netd's session, all on one loop.
#pragma once

#include <optional>
#include <vector>

#include "net/netd/application.hpp"
#include "tests/netd/loopback_host.hpp"
#include "tests/ump/channel_fixture.hpp"

struct NetworkHost : LoopbackHost {
    NetworkHost(net::Config config, size_t task_bytes, size_t chunks, uint16_t connections = 16)
        : LoopbackHost{config, task_bytes, connections},
          shared{netd::Application::memory_needed(chunks, 65536)},
          application{run.loop, host, shared.bytes(), 65536} {
        EXPECT_TRUE(application.enter());
    }

    TestFrame shared;
    netd::Application application;
    os::Network& network = application.network();
};

/// And who talks to it, over loopback: another application, whose calls are made directly.
struct PeerHost : NetworkHost {
    PeerHost(net::Config config, size_t task_bytes, size_t chunks, uint16_t connections)
        : NetworkHost{config, task_bytes, chunks, connections} {
        EXPECT_TRUE(peer.enter());
    }

    template <class T>
    static async::Task<> keep(async::Task<T> task, std::optional<Result<T>>& into) {
        into.emplace(co_await async::result_of(std::move(task)));
        co_return {};
    }

    /// The result of a call of the peer's, or none: it waits for ever.
    template <class T>
    std::optional<Result<T>> after(async::Task<T> task) {
        std::optional<Result<T>> result;
        Kept job;
        EXPECT_TRUE(job.start(keep(std::move(task), result)));
        // Not to the end of all timers: a closed window is probed for ever.
        const Instant until = run.loop.now() + seconds(2);
        while (!result && run.loop.now() < until) {
            run.waiter.plan(run.loop.now() + milliseconds(100), 1);
            Kept stop;
            EXPECT_TRUE(stop.start(stop_soon()));
            run.loop.run();
        }
        return result;
    }

    async::Task<> stop_soon() {
        co_await run.loop.sleep_for(milliseconds(100));
        run.loop.stop();
        co_return {};
    }

    void pass(Duration time) { run.waiter.pass(time); }

    uint32_t connected(uint16_t port) {
        constexpr std::array<uint8_t, 4> own{10, 77, 0, 2};
        using interfaces::socket::Kind;
        const uint32_t socket = (*after(peer.open({Kind::stream})))->socket;
        EXPECT_TRUE(*after(peer.connect({socket, own, port})));
        return socket;
    }

    std::vector<std::byte> peer_area = std::vector<std::byte>(32768);
    netd::Session peer{host, peer_area};
};
