// What it takes to have a frame back that other cores have borrowed.
#include "interfaces/bench.hpp"
#include "interfaces/monitor.hpp"
#include "lib/base/format.hpp"
#include "lib/base/log.hpp"
#include "lib/os/revoke.hpp"
#include "lib/os/spawners.hpp"
#include "usr/bench/figures.hpp"

namespace bench {
namespace {

namespace api = interfaces::bench;

constexpr size_t most_borrowers = 63;

/// All that this core's monitor has exchanged with others.
uint64_t messages_of_monitor(unsigned cores) {
    os::LocalClient<interfaces::monitor::Client> monitor{abi::slot_at(0, abi::slot::monitor)};
    uint64_t sum = 0;
    for (uint32_t core = 0; core < cores; ++core)
        if (const auto known = monitor->core_at(core)) sum += known->messages;
    return sum;
}

struct Borrowers {
    std::array<os::Binding*, most_borrowers> links{};
    unsigned count{};

    async::Task<> start(os::Domain& self) {
        for (uint32_t core = 1; core < self.core_count() && count < links.size(); ++core) {
            const CoreId there{{static_cast<uint8_t>(core)}};
            os::Binding talk{self};
            auto spawner = co_await os::bind_spawner(self, talk, there);
            co_await spawner.spawn(Text<16>::cut("bench"), Text<128>::cut(role::borrower), {}, 0);
            os::Binding* const link = new (std::nothrow) os::Binding{self};
            if (link == nullptr) co_await fail(Err::no_memory);
            links[count++] = link; // for good, as this domain
            const auto name = borrower_on(there);
            co_await link->open({.name = name.view(), .contract = api::contract});
        }
        co_return {};
    }

    async::Task<> lend(os::CapSlot frame) {
        for (unsigned i = 0; i < count; ++i)
            co_await api::Client{links[i]->channel()}.keep(frame);
        co_return {};
    }
};

} // namespace

async::Task<> measure_lending(os::Domain& self, Harness& harness) {
    if (!harness.begin("lent_revoke")) co_return {};
    Borrowers borrowers;
    co_await borrowers.start(self);
    uint64_t messages = 0;
    while (harness.more()) {
        const os::Frame frame = co_await os::Frame::make(page_bytes);
        co_await borrowers.lend(frame.slot());
        const uint64_t before = messages_of_monitor(self.core_count());
        harness.start();
        co_await os::revoke(frame.slot());
        harness.stop();
        messages = messages_of_monitor(self.core_count()) - before;
    }
    harness.finish();
    log::info("lent_revoke to {} cores: {} messages", borrowers.count, messages);
    co_return {};
}

} // namespace bench
