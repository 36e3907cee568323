#include "net/siphash.hpp"

#include <bit>

namespace net {
namespace {

struct State {
    uint64_t a, b, c, d;

    void round() {
        a += b;
        c += d;
        b = std::rotl(b, 13) ^ a;
        d = std::rotl(d, 16) ^ c;
        a = std::rotl(a, 32);
        c += b;
        a += d;
        b = std::rotl(b, 17) ^ c;
        d = std::rotl(d, 21) ^ a;
        c = std::rotl(c, 32);
    }

    void absorb(uint64_t word) {
        d ^= word;
        round();
        round();
        a ^= word;
    }
};

} // namespace

uint64_t siphash(const SecretKey& key, std::span<const uint64_t> words) {
    // The constants spell "somepseudorandomlygeneratedbytes" (section 2.1 of the paper).
    State state{
        key[0] ^ 0x736f6d6570736575,
        key[1] ^ 0x646f72616e646f6d,
        key[0] ^ 0x6c7967656e657261,
        key[1] ^ 0x7465646279746573,
    };
    for (const uint64_t word : words)
        state.absorb(word);
    state.absorb(uint64_t{words.size() * 8} << 56);
    state.c ^= 0xff;
    for (int i = 0; i < 4; ++i)
        state.round();
    return state.a ^ state.b ^ state.c ^ state.d;
}

} // namespace net
