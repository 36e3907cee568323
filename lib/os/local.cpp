#include "lib/os/local.hpp"

#include "lib/os/fault.hpp"
#include "lib/os/threads/scheduler.hpp"

namespace os {

Result<rpc::LocalMessage> LocalPort::call(const rpc::LocalMessage& message) {
    const Hold hold; // what comes is in the one slot for that, until it is taken
    const auto called = endpoint_.call({
        .word = message.words,
        .give = message.cap,
        .move_it = message.give,
    });
    // Who waits for an answer is not interrupted.
    if (os_current_thread != nullptr && page().pending != 0) Hold::set_rest_due(true);
    const Words answer = TRY(called);
    rpc::LocalMessage reply;
    reply.words = answer.word;
    if (answer.came_with_cap) reply.cap = TRY(slots().take_received());
    return reply;
}

} // namespace os
