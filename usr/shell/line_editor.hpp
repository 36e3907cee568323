// What somebody types becomes lines: echo, backspace, Ctrl-U, Ctrl-C, the arrow keys for earlier
// lines. Pure: bytes in, bytes to show and at most one event out.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "lib/base/format.hpp"

namespace shell {

class LineEditor {
  public:
    static constexpr size_t line_bytes = 200, history_lines = 16;

    enum class Event : uint8_t {
        none,
        line,   // line() is complete
        cancel, // Ctrl-C: what was typed is dropped
    };

    /// Takes one byte, writes what the terminal is to show.
    Event feed(char c, TextWriter& echo) {
        if (escape_ != Escape::none) return feed_escape(c, echo);
        const bool after_return = std::exchange(after_return_, c == '\r');
        switch (c) {
        case '\n':
            if (after_return) return Event::none; // CR LF is one end of line
            [[fallthrough]];
        case '\r': return finish(echo);
        case 0x03: return cancel(echo);
        case 0x08:
        case 0x7f: erase(1, echo); return Event::none;
        case 0x15: erase(size_, echo); return Event::none;
        case 0x1b: escape_ = Escape::seen; return Event::none;
        default: insert(c, echo); return Event::none;
        }
    }

    /// Valid after Event::line until the next feed.
    std::string_view line() const { return {finished_.data(), finished_size_}; }

    /// What was typed so far: to be shown again after somebody else's output.
    std::string_view typed() const { return {text_.data(), size_}; }

  private:
    enum class Escape : uint8_t { none, seen, bracket };
    using Text = std::array<char, line_bytes>;

    struct Past {
        Text text;
        size_t size;
    };

    void insert(char c, TextWriter& echo) {
        if (c < ' ' || c > '~' || size_ == text_.size()) return;
        text_[size_++] = c;
        echo.put(c);
    }

    void erase(size_t count, TextWriter& echo) {
        for (; count > 0 && size_ > 0; --count, --size_)
            echo.put("\b \b");
    }

    Event finish(TextWriter& echo) {
        echo.put("\n");
        finished_ = text_;
        finished_size_ = size_;
        remember();
        size_ = 0;
        back_ = 0;
        return Event::line;
    }

    Event cancel(TextWriter& echo) {
        echo.put("^C\n");
        size_ = 0;
        back_ = 0;
        return Event::cancel;
    }

    void remember() {
        if (size_ == 0) return;
        if (count_ > 0 && view(1) == typed()) return;
        past_[next_ % history_lines] = {text_, size_};
        ++next_;
        count_ = std::min(count_ + 1, history_lines);
    }

    /// The line `back` ago, from 1.
    std::string_view view(size_t back) const {
        const Past& past = past_[(next_ - back) % history_lines];
        return {past.text.data(), past.size};
    }

    void show(size_t back, TextWriter& echo) {
        erase(size_, echo);
        back_ = back;
        if (back == 0) return;
        for (char c : view(back))
            insert(c, echo);
    }

    Event feed_escape(char c, TextWriter& echo) {
        if (escape_ == Escape::seen) {
            escape_ = c == '[' ? Escape::bracket : Escape::none;
            return Event::none;
        }
        const bool parameter = (c >= '0' && c <= '9') || c == ';';
        if (parameter) return Event::none;
        escape_ = Escape::none;
        if (c == 'A' && back_ < count_) show(back_ + 1, echo);
        if (c == 'B' && back_ > 0) show(back_ - 1, echo);
        return Event::none;
    }

    Text text_{}, finished_{};
    size_t size_{}, finished_size_{};
    std::array<Past, history_lines> past_{};
    size_t next_{}, count_{}, back_{};
    Escape escape_{};
    bool after_return_{};
};

} // namespace shell
