// The test services, one function a port; each runs for ever as a task.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/os/socket.hpp"

namespace netsvc {

/// Executes the counting plugin's markers around the operations of one service, as the setting
/// `count=SERVICE:WARM:N` says.
class OperationMarks {
  public:
    OperationMarks() = default;

    /// Errors: bad_argument.
    static Result<OperationMarks> parse(std::string_view setting);

    bool concerns(std::string_view service) const { return service_ == service; }

    void before_receive() const;
    void after_receive() const;
    /// The operation is complete.
    void after_send();

  private:
    bool counting() const { return done_ >= warm_ && done_ < warm_ + measured_; }

    std::string_view service_;
    uint64_t warm_{}, measured_{}, done_{};
};

class Services {
  public:
    Services(os::Network& to, const OperationMarks& counted) : network{to}, marks{counted} {}

    os::Network& network;
    OperationMarks marks;

    async::Task<> tcp_echo();
    async::Task<> tcp_discard();
    async::Task<> tcp_line();
    async::Task<> tcp_pattern();
    async::Task<> tcp_checksum();
    async::Task<> udp_echo();
    async::Task<> udp_discard();

  private:
    async::Task<> echo(os::Stream stream);
};

} // namespace netsvc
