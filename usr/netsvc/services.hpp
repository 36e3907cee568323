// The test services, one function a port; each runs for ever as a task.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/os/operation_marks.hpp"
#include "lib/os/socket.hpp"

namespace netsvc {

using os::OperationMarks;

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
