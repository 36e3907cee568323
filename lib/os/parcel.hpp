// Capabilities that go along with messages of a channel: the monitors carry them, and a number in
// the message says which is meant.
#pragma once

#include "lib/os/channel.hpp"

namespace os {

/// A copy of `what` goes to the other end; the number is for the message that it belongs to.
/// Between cores: frames and doorbells. Errors: foreign, quota, revoking, peer_gone.
Result<uint32_t> send_capability(ChannelEnd& end, CapSlot what);

/// What the other end sent under that number, in a slot of its own; waits until it is here.
/// Errors: why it does not come.
async::Task<CapSlot> receive_capability(ChannelEnd& end, uint32_t token);

} // namespace os
