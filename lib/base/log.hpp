// One line for each event, starting with the noun: log::info("link {} {} Mb/s", name, speed).
// Where lines go is a seam: a program sets its sink once; before that they go nowhere.
#pragma once

#include "lib/base/format.hpp"
#include "lib/base/strong.hpp"

enum class LogLevel : uint8_t { error, warn, info, trace };

/// Takes finished lines. The sink knows core, clock and domain; render_log_line joins them.
class LogSink {
  public:
    virtual void line(LogLevel level, std::string_view text) = 0;

  protected:
    ~LogSink() = default;
};

/// A class and not a namespace: <cmath> owns the function ::log, and a class may share its name.
class log {
  public:
    static constexpr size_t line_bytes = 240;

    static void set_sink(LogSink* sink) { sink_ = sink; }

    static void set_level(LogLevel level) { level_ = level; }

    static LogLevel level() { return level_; }

    static bool shows(LogLevel level) { return sink_ != nullptr && level <= level_; }

    template <class... Args>
    static void error(Format<Args...> text, const Args&... args) {
        at(LogLevel::error, text, args...);
    }

    template <class... Args>
    static void warn(Format<Args...> text, const Args&... args) {
        at(LogLevel::warn, text, args...);
    }

    template <class... Args>
    static void info(Format<Args...> text, const Args&... args) {
        at(LogLevel::info, text, args...);
    }

    template <class... Args>
    static void trace(Format<Args...> text, const Args&... args) {
        at(LogLevel::trace, text, args...);
    }

    template <class... Args>
    static void at(LogLevel level, Format<Args...> text, const Args&... args) {
        if (!shows(level)) return;
        std::array<char, line_bytes> line;
        sink_->line(level, format_to(line, text, args...));
    }

  private:
    static constinit inline LogSink* sink_ = nullptr;
    static constinit inline LogLevel level_ = LogLevel::info;
};

/// The form of a line on the wire: `[2 0.012345 netd] link nic.0 1000 Mb/s`, without a newline.
inline std::string_view render_log_line(
    std::span<char> out, CoreId core, Instant now, std::string_view domain, std::string_view text
) {
    return format_to(out, "[{} {} {}] {}", core, now, domain, text);
}
