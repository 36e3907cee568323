#include "lib/os/local.hpp"

namespace os {

Result<rpc::LocalMessage> LocalPort::call(const rpc::LocalMessage& message) {
    const Words answer = TRY(endpoint_.call({
        .word = message.words,
        .give = message.cap,
        .move_it = message.give,
    }));
    rpc::LocalMessage reply;
    reply.words = answer.word;
    if (answer.came_with_cap) reply.cap = TRY(slots().take_received());
    return reply;
}

} // namespace os
