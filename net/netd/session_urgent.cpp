// Urgent data as BSD's sockets show them: the last urgent byte is taken out of the stream, and read
// apart or never; or it stays in line. A read ends before it, so that its place can be found.
#include "net/netd/session.hpp"

namespace netd {

/// Bytes to be read up to the urgent one, itself counted; 0: it was passed.
Result<size_t> Session::up_to_urgent(const Socket& socket) const {
    if (!socket.urgent) return 0;
    return TRY(host_.stack().tcp_info(socket.id)).urgent_bytes;
}

/// Limits what is read next to what is before it; when it is next itself, it is passed over.
Result<> Session::stop_at_urgent(Socket& socket, size_t& most) {
    const size_t ahead = TRY(up_to_urgent(socket));
    if (ahead > 1) {
        most = std::min(most, ahead - 1);
        return {};
    }
    if (ahead == 1 && !socket.urgent_inline) {
        std::byte passed;
        const auto got = host_.stack().tcp_receive(socket.id, {&passed, 1}, host_.now());
        if (!got && got.error() != Err::end_of_file) return fail(got.error());
    }
    socket.urgent = false;
    return {};
}

Result<uint8_t> Session::urgent_byte(Socket& socket) {
    const size_t ahead = TRY(up_to_urgent(socket));
    if (ahead == 0 || socket.urgent_inline || socket.urgent_read) return fail(Err::bad_argument);
    std::byte value;
    TRY(host_.stack().tcp_copy(socket.id, ahead - 1, {&value, 1}));
    socket.urgent_read = true;
    return std::to_integer<uint8_t>(value);
}

/// It has come and was not read.
bool Session::has_urgent(const Socket& socket) const {
    if (!socket.urgent || socket.urgent_read) return false;
    const auto info = host_.stack().tcp_info(socket.id);
    return info && info->urgent_bytes != 0 && info->receive_queue_bytes >= info->urgent_bytes;
}

} // namespace netd
