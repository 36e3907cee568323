#include "net/checksum.hpp"

namespace net {
uint16_t sum_of(Bytes bytes) {
    const std::byte* at = bytes.data();
    size_t left = bytes.size();
    uint64_t sum = 0;
    for (; left >= 128; left -= 128, at += 128)
        sum = sum_of_words<16>(sum, at);
    for (; left >= 32; left -= 32, at += 32)
        sum = sum_of_words<4>(sum, at);
    for (; left >= 8; left -= 8, at += 8)
        sum = add_carry(sum, load<uint64_t>(at));
    uint64_t rest = 0;
    if ((left & 4) != 0) {
        rest += load<uint32_t>(at);
        at += 4;
    }
    if ((left & 2) != 0) {
        rest += load<uint16_t>(at);
        at += 2;
    }
    if ((left & 1) != 0) rest += std::to_integer<uint64_t>(*at);
    return fold(add_carry(sum, rest));
}

} // namespace net
