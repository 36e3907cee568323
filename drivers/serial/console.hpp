// What several writers say, as one stream: lines stay whole. The one who has the keyboard shows its
// unfinished line at once (a prompt, an echo); others' lines go above it, and it is shown again.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "lib/base/bytes.hpp"

namespace serial {

/// The last bytes that went through, oldest first.
template <size_t N>
class History {
  public:
    void put(char c) { ring_[total_++ % N] = c; }

    size_t size() const { return std::min<uint64_t>(total_, N); }

    /// Copies from `offset` bytes after the oldest; how many.
    size_t read(size_t offset, std::span<char> out) const {
        if (offset >= size()) return 0;
        const size_t count = std::min(out.size(), size() - offset);
        const uint64_t begin = total_ - size() + offset;
        for (size_t i = 0; i < count; ++i)
            out[i] = ring_[(begin + i) % N];
        return count;
    }

  private:
    std::array<char, N> ring_{};
    uint64_t total_{};
};

/// Bytes on their way to the wire. A full queue loses the newest and counts them: a stuck line
/// must not stop those who write.
template <size_t N>
class WireQueue {
  public:
    void put(char c) {
        if (size_ == N) {
            ++lost_;
            return;
        }
        ring_[(first_ + size_++) % N] = c;
    }

    std::optional<char> take() {
        if (size_ == 0) return std::nullopt;
        const char c = ring_[first_];
        first_ = (first_ + 1) % N;
        --size_;
        return c;
    }

    bool empty() const { return size_ == 0; }

    uint64_t lost() const { return lost_; }

  private:
    std::array<char, N> ring_{};
    size_t first_{}, size_{};
    uint64_t lost_{};
};

/// One writer's unfinished line.
class LineBuffer {
  public:
    static constexpr size_t bytes = 512;

    bool full() const { return size_ == bytes; }

    bool empty() const { return size_ == 0; }

    void put(char c) { text_[size_++] = c; }

    void clear() { size_ = 0; }

    /// Backspace in a shown line takes the last character back.
    void take_back() { size_ -= size_ > 0 ? 1 : 0; }

    std::string_view view() const { return {text_.data(), size_}; }

  private:
    std::array<char, bytes> text_{};
    size_t size_{};
};

class Console {
  public:
    using Writer = LineBuffer;

    /// `foreground`: the writer has the keyboard.
    void write(Writer& writer, std::string_view text, bool foreground) {
        for (char c : text)
            foreground ? show(writer, c) : collect(writer, c);
    }

    /// The writer leaves, or loses the keyboard: its unfinished line is ended.
    void end(Writer& writer, bool foreground) {
        if (foreground && shown_ != nullptr) finish_shown();
        if (!foreground && !writer.empty()) emit_line(writer);
        writer.clear();
        if (shown_ == &writer) shown_ = nullptr;
    }

    WireQueue<16 * 1024>& wire() { return wire_; }

    const History<32 * 1024>& history() const { return history_; }

  private:
    void send(char c) {
        if (c == '\n') wire_.put('\r');
        wire_.put(c);
    }

    void send(std::string_view text) {
        for (char c : text)
            send(c);
    }

    void remember(std::string_view text) {
        for (char c : text)
            history_.put(c);
        history_.put('\n');
    }

    void show(Writer& writer, char c) {
        send(c);
        if (c == '\n') {
            remember(writer.view());
            writer.clear();
            shown_ = nullptr;
            return;
        }
        shown_ = &writer;
        if (c == '\b')
            writer.take_back();
        else if (c != '\r')
            keep(writer, c);
    }

    void keep(Writer& writer, char c) {
        if (writer.full()) writer.clear(); // shown already: only what is shown again is shorter
        writer.put(c);
    }

    void collect(Writer& writer, char c) {
        if (c == '\r') return;
        if (c != '\n') writer.put(c);
        if (c != '\n' && !writer.full()) return;
        emit_line(writer);
        writer.clear();
    }

    void finish_shown() {
        send('\n');
        remember(shown_->view());
        shown_->clear();
        shown_ = nullptr;
    }

    /// What is shown of the unfinished line is wiped, and shown again below.
    void emit_line(const Writer& writer) {
        const size_t wiped = shown_ != nullptr ? shown_->view().size() : 0;
        if (wiped > 0) {
            wire_.put('\r');
            for (size_t i = 0; i < wiped; ++i)
                wire_.put(' ');
            wire_.put('\r');
        }
        send(writer.view());
        send('\n');
        remember(writer.view());
        if (wiped > 0) send(shown_->view());
    }

    WireQueue<16 * 1024> wire_;
    History<32 * 1024> history_;
    Writer* shown_{}; // whose unfinished line is on the screen
};

} // namespace serial
