// drivers/e1000/main.cpp — a network card as a service, "nic.N". It was handed the card's
// registers and its interrupt; the stack brings the memory for packets.
#include <array>

#include "drivers/e1000/domain/driver.hpp"
#include "interfaces/nic.hpp"
#include "lib/base/log.hpp"
#include "lib/netq/layout.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"

namespace e1000 {
namespace {

namespace nic = interfaces::nic;

/// The stack behind one channel.
class NicServer final : public Stack {
  public:
    NicServer(os::Session& session, Driver& of) : session_{session}, driver_{of} {}

    NicServer(const NicServer&) = delete;

    ~NicServer() { driver_.stop(*this); }

    async::Task<nic::DescribeResult> describe() {
        const Link link = co_await driver_.link();
        co_return nic::DescribeResult{
            driver_.mac(), frame_bytes_max, link.up, link.mbit, true, driver_.segments()
        };
    }

    async::Task<> start() {
        const netq::Area area = co_await netq::Area::over(session_.bulk());
        const PhysAddr area_at = co_await session_.bulk_base();
        co_await session_.pin();
        co_await driver_.start(*this, area, area_at);
        link_changed(co_await driver_.link());
        co_return {};
    }

    async::Task<> join_group(nic::JoinGroupArguments a) {
        if (groups_used_ == groups_.size()) co_await fail(Err::no_space);
        if ((a.address[0] & 1) == 0) co_await fail(Err::bad_argument);
        groups_[groups_used_++] = a.address;
        driver_.set_groups(std::span{groups_}.first(groups_used_));
        co_return {};
    }

    async::Task<nic::StatisticResult> statistic(nic::StatisticArguments a) {
        co_return nic::StatisticResult{driver_.value_of(a.which)};
    }

    // --- Stack

    /// Full ring or not: `describe` says it too.
    void link_changed(const Link& link) override {
        (void)nic::Events{session_.channel()}.try_link_changed(link.up, link.mbit);
    }

    void published() override { session_.channel().published_elsewhere(); }

  private:
    os::Session& session_;
    Driver& driver_;
    std::array<MacAddress, 16> groups_{};
    size_t groups_used_{};
};

using NicService = os::ServiceOf<NicServer, nic::ServerSide<NicServer>, Driver>;

os::Immortal<Driver> driver;
os::Immortal<NicService> service;

Result<> open(os::Domain& self) {
    TRY_VOID(driver.make(self).open());
    NicService& nic =
        service.make(driver->name(), nic::contract, *driver, os::Service::Limits{.sessions = 2});
    return os::offer(self, nic);
}

} // namespace
} // namespace e1000

int domain_main(os::Domain& self) {
    if (const auto opened = e1000::open(self); !opened) {
        log::error("e1000 cannot start: {}", opened.error());
        return 1;
    }
    return self.serve();
}
