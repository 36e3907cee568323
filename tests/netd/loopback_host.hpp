// netd's host with a real stack that talks to itself over loopback: no frame ever leaves.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "net/netd/host.hpp"
#include "tests/async/fake_waiter.hpp"

/// A task that goes on while the test does something else.
class Kept final : public async::Job {};

struct LoopbackHost {
    /// `config` as far as it matters to the test; `task_bytes` for the loop's tasks.
    LoopbackHost(net::Config config, size_t task_bytes, uint16_t connections = 16)
        : run{task_bytes} {
        config.mac = net::MacAddress{{2, 0, 0, 0, 0, 1}};
        config.connections = connections;
        config.reassemblies = 1;
        memory.resize(*net::Stack::memory_needed(config));
        auto stack = net::Stack::create(memory, config, link, host, run.loop.now());
        EXPECT_TRUE(stack);
        host.set_stack(**stack);
        EXPECT_TRUE(host.stack().set_address({net::Ipv4Address{10, 77, 0, 2}, 24}));
        EXPECT_TRUE(timers.start(host.run_timers()));
    }

    class NoLink final : public net::Link {
      public:
        Result<> transmit(std::span<const Bytes>, net::LinkWork) override {
            return fail(Err::link_down);
        }
    };

    TestLoop run;
    NoLink link;
    netd::Host host{run.loop};
    std::vector<std::byte> memory;
    Kept timers;
};
