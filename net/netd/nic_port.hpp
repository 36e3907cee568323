// The stack's end of a network card: frames out of and into the packet memory that netd shares
// with the driver. netd owns the buffers; each is here, with the driver, or in a ring.
#pragma once

#include <cstdint>

#include "lib/async/loop.hpp"
#include "lib/netq/layout.hpp"
#include "lib/netq/lender.hpp"
#include "net/link.hpp"
#include "net/netd/host.hpp"

namespace netd {

/// How the driver is told that something was put into the rings: through the channel that the
/// packet memory belongs to, whose fence and epoch serve the rings too.
class DriverBell {
  public:
    virtual void published() = 0;

  protected:
    ~DriverBell() = default;
};

class NicPort : public net::Link, public async::Source {
  public:
    static constexpr size_t buffers_max = 4096;

    struct Counters {
        uint64_t foreign{};  // descriptors that break the rules of the queue
        uint64_t starved{};  // frames that found no free buffer and had to wait
        uint64_t not_sent{}; // frames the driver gave back unsent
    };

    NicPort(Host& host, const netq::Area& area, DriverBell& bell, net::LinkNumber link);

    /// Hands the driver its share of empty buffers.
    void provide_buffers();

    // --- net::Link
    Result<> transmit(std::span<const Bytes> pieces, net::LinkWork work) override;

    // --- async::Source
    bool pump() override;
    bool ready() override;
    void flush() override;

    void arm(uint64_t) override {} // the channel's own source does it

    void disarm() override {}

    const Counters& counters() const { return counters_; }

  private:
    static constexpr unsigned batch = 64; // descriptors before other sources have their turn

    Result<> provide(uint32_t buffer);
    void push(netq::Descriptor descriptor);
    bool receive_some();
    bool reclaim_some();
    bool may_lack_buffers();

    Host& host_;
    netq::Area area_;
    netq::StackSide side_;
    netq::Lender<buffers_max> pool_;
    DriverBell& bell_;
    net::LinkNumber link_;
    Counters counters_;
    bool starved_{};
};

} // namespace netd
