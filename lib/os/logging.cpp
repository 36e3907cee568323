#include "lib/os/logging.hpp"

#include "lib/base/log.hpp"
#include "lib/os/domain.hpp"

namespace os {
namespace {

class BufferSink final : public LogSink {
  public:
    void line(LogLevel, std::string_view text) override {
        std::array<char, log::line_bytes> buffer;
        const Domain& self = domain();
        const std::span<char> room = std::span{buffer}.first(buffer.size() - 1);
        const std::string_view shown = render_log_line(room, self.core(), now(), self.name(), text);
        buffer[shown.size()] = '\n';
        log_ring().add({buffer.data(), shown.size() + 1});
        if (bell != nullptr) bell->set();
    }

    async::Event* bell{};
};

constinit LogRing ring;
constinit BufferSink sink;

} // namespace

LogRing& log_ring() {
    return ring;
}

void begin_logging(const Domain& self) {
    log::set_sink(&sink);
    if (self.settings().log_level) log::set_level(*self.settings().log_level);
}

void tell_of_lines(async::Event& bell) {
    sink.bell = &bell;
    if (!ring.empty()) bell.set();
}

} // namespace os
