// The serial line before there is a console, for init and spawn: polled, so that every stage of the
// start is on the wire when it is reached, and a hang has a last line. The CPU driver has set the
// line up.
#pragma once

#include "lib/base/log.hpp"
#include "lib/os/device.hpp"
#include "lib/os/domain.hpp"

namespace os {

class EarlySerial final : public LogSink {
  public:
    explicit EarlySerial(CapSlot ports) : ports_{ports} {}

    void line(LogLevel, std::string_view text) override {
        std::array<char, log::line_bytes> buffer;
        const Domain& self = domain();
        write(render_log_line(buffer, self.core(), now(), self.name(), text));
        write("\r\n");
    }

    void write(std::string_view text) const {
        for (char c : text)
            put(c);
    }

  private:
    // National Semiconductor PC16550D data sheet, "Line Status Register": bit 5 THRE.
    static constexpr uint16_t data = 0x3f8, line_status = 0x3f8 + 5;
    static constexpr uint8_t can_send = 0x20;

    void put(char c) const {
        // A character takes 87 us at 115200 baud; a line that is stuck must not stop the machine.
        for (int tries = 0; tries < 10000 && (ports_.in8(line_status) & can_send) == 0; ++tries)
            __builtin_ia32_pause();
        ports_.out8(data, static_cast<uint8_t>(c));
    }

    Ports ports_;
};

} // namespace os
