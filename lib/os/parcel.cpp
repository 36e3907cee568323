#include "lib/os/parcel.hpp"

#include "interfaces/monitor.hpp"

namespace os {
namespace {

using Monitor = LocalClient<interfaces::monitor::Client>;

constexpr CapSlot monitor_slot = abi::slot_at(0, abi::slot::monitor);

} // namespace

Result<uint32_t> send_capability(ChannelEnd& end, CapSlot what) {
    Monitor monitor{monitor_slot};
    const uint32_t token = ++end.last_token_;
    TRY_VOID(monitor->send(end.binding_, token, what));
    return token;
}

async::Task<CapSlot> receive_capability(ChannelEnd& end, uint32_t token) {
    Monitor monitor{monitor_slot};
    for (;;) {
        const auto got = monitor->receive(end.binding_, token);
        if (got) co_return got->what;
        if (got.error().top() != Err::not_found) co_await fail(got.error());
        co_await end.arrived_.wait();
    }
}

} // namespace os
