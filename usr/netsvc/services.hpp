// The test services, one function a port; each runs for ever as a task.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/os/operation_marks.hpp"
#include "lib/os/socket.hpp"
#include "lib/os/watched.hpp"

namespace netsvc {

using os::OperationMarks;

// Of the network that they are given. A whole UDP datagram must fit in a chunk.
constexpr uint32_t chunk_bytes = 65536;
constexpr size_t chunks = 32;

/// What `count=SERVICE:WARM:N` asks for; what it is not, is told.
OperationMarks marks_of(std::string_view setting);

class Services {
  public:
    Services(os::Network& to, const OperationMarks& counted) : network{to}, marks{counted} {}

    os::Network& network;
    OperationMarks marks;
    os::Watchers watchers{network};

    /// Each as a task of its own, for good.   errors   no_memory
    Result<> start();

    async::Task<> tcp_echo();
    async::Task<> tcp_discard();
    async::Task<> tcp_line();
    async::Task<> tcp_pattern();
    async::Task<> tcp_checksum();
    async::Task<> udp_echo();
    async::Task<> udp_discard();

    /// The first few connections may keep a chunk and a call that waits, which is cheapest; all
    /// others are served when something has happened to them.
    class Place {
      public:
        explicit Place(Services& services)
            : services_{services.few_ < most_few ? &services : nullptr} {
            if (services_ != nullptr) ++services_->few_;
        }

        Place(const Place&) = delete;

        ~Place() {
            if (services_ != nullptr) --services_->few_;
        }

        explicit operator bool() const { return services_ != nullptr; }

      private:
        Services* services_;
    };

  private:
    static constexpr size_t most_few = 8;

    size_t few_{};
};

} // namespace netsvc
