// How a channel lies in the frame that its two domains share: a control line for each side, the
// two rings, and the rest for data that goes by reference.
#pragma once

#include <bit>
#include <cstddef>
#include <new>
#include <span>

#include "lib/base/bytes.hpp"
#include "lib/base/mark.hpp"
#include "lib/base/result.hpp"
#include "lib/ump/endpoint.hpp"

namespace ump {

class Layout {
  public:
    /// Bytes that `lines` a direction need, without the bulk area.
    static constexpr size_t bytes_for(size_t lines) { return 2 * 64 + 2 * lines * 64; }

    /// Errors: bad_argument (not a power of two from 4 to 2^15); misaligned (64 bytes);
    /// truncated (the frame is too small). The memory is not touched.
    static Result<Layout> carve(MutableBytes frame, size_t lines) {
        if (!std::has_single_bit(lines) || lines < min_ring_lines || lines > max_ring_lines)
            return fail(Err::bad_argument);
        if (std::bit_cast<uintptr_t>(frame.data()) % alignof(Line) != 0)
            return fail(Err::misaligned);
        if (frame.size() < bytes_for(lines)) return fail(Err::truncated);
        return Layout{frame, lines};
    }

    /// Done once, by whoever made the frame, before the other side has it.
    void clear() const {
        for (ControlLine* line : {control(0), control(1)}) {
            RealMemory::store(line->credit, 0);
            RealMemory::store(line->epoch, 0);
            for (auto& word : line->aside)
                RealMemory::store(word, 0);
        }
        for (unsigned direction : {0u, 1u})
            for (Line& line : ring(direction))
                RealMemory::store(line.control, 0);
        mark_use<MarkedUse::channel>(control(0), &ring(1).back());
    }

    /// By whoever made the frame, once it is a channel no more.
    void end() const { mark_use<MarkedUse::nothing>(control(0), &ring(1).back()); }

    Side client() const { return {ring(0), ring(1), control(0), control(1)}; }

    Side server() const { return {ring(1), ring(0), control(1), control(0)}; }

    MutableBytes bulk() const { return frame_.subspan(bytes_for(lines_)); }

  private:
    Layout(MutableBytes frame, size_t lines) : frame_{frame}, lines_{lines} {}

    // Both line types are plain words of any value, so bytes of a frame may be looked at as them.
    template <class T>
    T* at(size_t offset) const {
        void* const start = frame_.data() + offset;
        return std::launder(static_cast<T*>(start));
    }

    ControlLine* control(unsigned side) const { return at<ControlLine>(64 * side); }

    std::span<Line> ring(unsigned direction) const {
        return {at<Line>(128 + direction * lines_ * sizeof(Line)), lines_};
    }

    MutableBytes frame_;
    size_t lines_;
};

} // namespace ump
