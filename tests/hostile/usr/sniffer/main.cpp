// Whole packets: `sniffer ip N` sends back the payload of each packet of IP protocol N, `sniffer
// frame N` each frame of Ethernet type N with the addresses changed round.
#include <algorithm>

#include "lib/base/cmdline.hpp"
#include "lib/base/log.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/manifest.hpp"
#include "lib/os/raw_socket.hpp"

namespace {

using interfaces::raw::Kind;

constinit os::Immortal<os::RawSocket> raw;
std::array<std::byte, 2048> answer;

async::Task<> send_back(bool frames) {
    const auto got = co_await raw->receive();
    const Bytes packet = got.packet.first(std::min(got.packet.size(), answer.size()));
    if (frames) {
        std::ranges::copy(packet, answer.begin());
        std::swap_ranges(answer.begin(), answer.begin() + 6, answer.begin() + 6);
        co_await raw->send(Bytes{answer}.first(packet.size()));
        co_return {};
    }
    const size_t header = (std::to_integer<size_t>(packet[0]) & 15) * 4;
    std::array<uint8_t, 4> from{};
    for (size_t i = 0; i < from.size(); ++i)
        from[i] = std::to_integer<uint8_t>(packet[12 + i]);
    co_await raw->send(packet.subspan(header), from);
    co_return {};
}

async::Task<> run(os::Domain& self) {
    std::string_view words = self.arguments();
    const bool frames = os::take_word(words) == "frame";
    const auto number = parse_number(os::take_word(words), 0xffff);
    const auto opened = co_await async::result_of(
        raw->open(frames ? Kind::frame : Kind::ip, static_cast<uint16_t>(number.value_or(0)))
    );
    if (!opened) {
        log::error("sniffer cannot open: {}", opened.error());
        self.stop(1);
        co_return {};
    }
    log::info("sniffer listens");
    for (;;)
        co_await send_back(frames);
}

} // namespace

int domain_main(os::Domain& self) {
    raw.make(self);
    return self.loop().spawn("sniffer", [&] { return run(self); }) ? self.serve() : 1;
}
