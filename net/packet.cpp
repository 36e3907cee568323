#include "net/packet.hpp"

#include "net/checksum.hpp"
#include "net/wire/tcp.hpp"
#include "net/wire/udp.hpp"

namespace net {

void OutPacket::finish_sum() {
    if (sum_ == LinkWork::Sum::none) return;
    const bool is_udp = sum_ == LinkWork::Sum::udp;
    const size_t at = headers().size() - transport_bytes_;
    Checksum sum;
    sum.add(headers().subspan(at));
    for (const Bytes piece : payload())
        sum.add(piece);
    const size_t field = is_udp ? offsetof(wire::Udp, checksum) : offsetof(wire::Tcp, checksum);
    const uint16_t value = sum.finish();
    patch(at + field, Be<uint16_t>{is_udp && value == 0 ? uint16_t{0xffff} : value});
    sum_ = LinkWork::Sum::none;
}

} // namespace net
