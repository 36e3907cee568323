#include "tools/tapstack/tap.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <unistd.h>

namespace tapstack {

File::~File() {
    if (is_open()) ::close(number_);
}

std::expected<File, Refusal> open_tap(const std::string& name) {
    ifreq request{};
    if (name.empty() || name.size() >= sizeof request.ifr_name)
        return std::unexpected{Refusal{"'" + name + "' is no name of a device"}};
    File tap{::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
    if (!tap.is_open())
        return std::unexpected{Refusal{std::string{"/dev/net/tun: "} + std::strerror(errno)}};
    name.copy(request.ifr_name, name.size());
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (::ioctl(tap.number(), TUNSETIFF, &request) != 0) {
        const std::string why = std::strerror(errno);
        return std::unexpected{Refusal{
            name + ": " + why + "; root makes one: ip tuntap add dev " + name +
            " mode tap user $USER"
        }};
    }
    return tap;
}

// --- Bed

Bed::Bed(const File& tap) : tap_{tap} {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, nullptr);
    signals_ = File{::signalfd(-1, &ends, SFD_CLOEXEC)};
    INVARIANT(signals_.is_open(), "Linux has had it since 2.6.22");
}

Instant Bed::now() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return Instant{t.tv_sec * 1'000'000'000 + t.tv_nsec};
}

uint64_t Bed::wait(std::optional<Instant> deadline) {
    timespec patience{};
    if (deadline) {
        const Instant from = now();
        const int64_t left = *deadline > from ? (*deadline - from).ns : 0;
        patience = {left / 1'000'000'000, left % 1'000'000'000};
    }
    const short wanted = wants_room_ ? POLLIN | POLLOUT : POLLIN;
    std::array<pollfd, 2> files{{{tap_.number(), wanted, 0}, {signals_.number(), POLLIN, 0}}};
    const int found = ::ppoll(files.data(), files.size(), deadline ? &patience : nullptr, nullptr);
    has_room_ = found > 0 && (files[0].revents & POLLOUT) != 0;
    told_to_end_ |= found > 0 && files[1].revents != 0;
    return 0;
}

// --- TapLink

Result<> TapLink::transmit(std::span<const Bytes> pieces, net::LinkWork) {
    std::array<iovec, 40> parts;
    if (pieces.size() > parts.size()) return fail(Err::message_too_long);
    for (size_t i = 0; i < pieces.size(); ++i)
        parts[i] = {const_cast<std::byte*>(pieces[i].data()), pieces[i].size()};
    if (::writev(tap_.number(), parts.data(), int(pieces.size())) >= 0) return {};
    if (errno != EAGAIN) return fail(Err::link_down); // not up: ip link set DEVICE up
    blocked_ = true;
    bed_.wait_for_room(true);
    return fail(Err::no_space);
}

bool TapLink::pump() {
    if (blocked_ && bed_.has_room()) {
        blocked_ = false;
        bed_.wait_for_room(false);
        host_.stack().link_ready(host_.now());
        host_.touched();
    }
    size_t frames = 0;
    for (; frames < frames_a_turn; ++frames) {
        const ssize_t bytes = ::read(tap_.number(), frame_.data(), frame_.size());
        if (bytes <= 0) break;
        host_.stack().receive(Bytes{frame_}.first(size_t(bytes)), host_.now());
    }
    if (frames != 0) host_.touched();
    if (bed_.is_told_to_end()) host_.loop().stop();
    return frames != 0;
}

bool TapLink::ready() {
    pollfd file{tap_.number(), POLLIN, 0};
    return bed_.is_told_to_end() || ::poll(&file, 1, 0) > 0;
}

} // namespace tapstack
