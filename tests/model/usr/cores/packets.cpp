#include "lib/netq/layout.hpp"
#include "tests/model/usr/cores/session.hpp"

namespace spanning {
namespace {

constexpr uint32_t packets = 64, window = 16;
constexpr uint16_t sizes[] = {64, 512, 1472};
constexpr std::string_view regions[2][std::size(sizes)] = {
    {"near_64", "near_512", "near_1472"}, {"far_64", "far_512", "far_1472"}
};

std::span<uint64_t> words_of(const netq::Area& area, const netq::Descriptor& d) {
    const auto bytes = area.data(d);
    return {reinterpret_cast<uint64_t*>(bytes.data()), bytes.size() / sizeof(uint64_t)};
}

/// Writes each packet and hands it over; answers the sum of what it wrote.
uint64_t produce(const netq::Area& area, netq::StackSide& side, uint16_t size) {
    uint64_t sum = 0;
    for (uint32_t sent = 0, back = 0; back < packets;) {
        for (; sent < packets && sent - back < window; ++sent) {
            const netq::Descriptor packet{.buffer = sent % window, .offset = 0, .bytes = size};
            for (uint64_t& word : words_of(area, packet))
                sum += word = sent + 1;
            const auto pushed = side.tx_provide.push(packet);
            INVARIANT(pushed.has_value(), "the ring has room for all buffers");
        }
        (void)side.tx_provide.take_published();
        for (auto got = side.tx_return.take(); got && *got; got = side.tx_return.take())
            ++back;
        (void)side.tx_return.acknowledge();
        __builtin_ia32_pause();
    }
    return sum;
}

/// Reads each packet and gives its buffer back.
uint64_t consume(const netq::Area& area, netq::DriverSide& side) {
    uint64_t sum = 0;
    for (uint32_t seen = 0; seen < packets;) {
        for (auto got = side.tx_provide.take(); got && *got; got = side.tx_provide.take(), ++seen) {
            for (const uint64_t word : words_of(area, **got))
                sum += word;
            const auto pushed = side.tx_return.push(**got);
            INVARIANT(pushed.has_value(), "the ring has room for all buffers");
        }
        (void)side.tx_return.take_published();
        (void)side.tx_provide.acknowledge();
        __builtin_ia32_pause();
    }
    return sum;
}

/// From core 0 to that core, all sizes. The far one is half the machine away.
void pass(Session& session, MutableBytes memory, uint32_t self, uint32_t to, bool far) {
    for (size_t at = 0; at < memory.size() && (self == 0 || self == to); at += page_bytes)
        memory[at] = std::byte{}; // zero as before, but no page is absent any more
    const auto area = netq::Area::over(memory);
    INVARIANT(area.has_value(), "whoever mapped it made it large enough");
    auto stack = area->stack();
    auto driver = area->driver();
    for (size_t i = 0; i < std::size(sizes); ++i) {
        session.team.align();
        if (self == 0) os::model::begin(regions[far][i]);
        session.team.align();
        const uint64_t begun = os::read_tsc();
        if (self == 0) session.sent += produce(*area, stack, sizes[i]);
        const uint64_t cycles = (os::read_tsc() - begun) / packets;
        if (self == to) session.received += consume(*area, driver);
        session.team.barrier.wait();
        if (self != 0) continue;
        os::model::end(regions[far][i]);
        session.add({far ? "far" : "near", packets, cycles, 0, sizes[i], regions[far][i]});
    }
}

} // namespace

void measure_packets(Session& session, MutableBytes memory, uint32_t self) {
    const size_t half = memory.size() / 2;
    pass(session, memory.first(half), self, 1, false);
    pass(session, memory.subspan(half), self, session.team.members / 2, true);
}

} // namespace spanning
