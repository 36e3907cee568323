// A call into another domain of the same core: six words and at most one capability each way, in
// registers. Word 0 is the operation on the way in and the status on the way back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/abi/capability.hpp"
#include "lib/abi/invocation.hpp"
#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"

namespace rpc {

constexpr size_t local_argument_bytes = 8 * (abi::message_words - 1);

struct LocalMessage {
    std::array<uint64_t, abi::message_words> words{};
    /// On the way out: a slot of ours. On the way in: where the kernel put what came along, the
    /// receiver's to keep or delete; null if nothing came.
    abi::CapSlot cap{abi::null_slot};
    /// On the way out: our slot is emptied (move), instead of copied from.
    bool give{};

    Bytes arguments() const { return std::as_bytes(std::span{words}).subspan(8); }

    MutableBytes arguments() { return std::as_writable_bytes(std::span{words}).subspan(8); }
};

/// The seam to the system call.
class LocalEndpoint {
  public:
    /// Errors: peer_gone and what else the invocation answers; never the server's own errors.
    virtual Result<LocalMessage> call(const LocalMessage& message) = 0;

  protected:
    ~LocalEndpoint() = default;
};

/// What a server answers when the request cannot be read or asks for nothing it knows.
inline LocalMessage refusal(Fault why) {
    LocalMessage reply;
    reply.words[0] = why.raw();
    return reply;
}

} // namespace rpc
