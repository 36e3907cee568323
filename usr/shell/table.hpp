// Rows of text in columns as wide as their widest cell. Fixed memory; what does not fit any more is
// said in a last line.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "lib/base/format.hpp"

namespace shell {

enum class Align : uint8_t { left, right };

class TextTable {
  public:
    static constexpr size_t max_columns = 12, max_cells = 1024, max_text = 12 * 1024;

    template <size_t N>
    explicit TextTable(const std::array<std::pair<std::string_view, Align>, N>& columns)
        : columns_{N} {
        static_assert(N <= max_columns);
        for (size_t i = 0; i < N; ++i) {
            align_[i] = columns[i].second;
            cell("{}", columns[i].first);
        }
    }

    /// The next cell, row by row.
    template <class... Args>
    void cell(Format<Args...> text, const Args&... args) {
        const auto room = std::span{text_}.subspan(used_);
        if (cells_ == max_cells || room.empty()) {
            full_ = true;
            return;
        }
        const size_t size = format_to(room, text, args...).size();
        cell_[cells_] = {used_, size};
        width_[cells_ % columns_] = std::max(width_[cells_ % columns_], size);
        used_ += size;
        ++cells_;
    }

    size_t rows() const { return cells_ / columns_; }

    /// Lines to show: the heading, the rows, and one more if not everything fitted.
    size_t lines() const { return rows() + (full_ ? 1 : 0); }

    std::string_view line(size_t index, std::span<char> out) const {
        if (index >= rows()) return "(there is more than this table can hold)";
        TextWriter writer{out};
        for (size_t column = 0; column < columns_; ++column)
            put(writer, index, column);
        return writer.text();
    }

  private:
    struct Cell {
        size_t at, size;
    };

    void put(TextWriter& out, size_t row, size_t column) const {
        const Cell at = cell_[row * columns_ + column];
        const std::string_view text{text_.data() + at.at, at.size};
        const size_t pad = width_[column] - text.size();
        const bool last = column + 1 == columns_;
        if (align_[column] == Align::right) out.fill(' ', pad);
        out.put(text);
        if (last) return;
        if (align_[column] == Align::left) out.fill(' ', pad);
        out.put("  ");
    }

    size_t columns_;
    std::array<Align, max_columns> align_{};
    std::array<size_t, max_columns> width_{};
    std::array<Cell, max_cells> cell_{};
    std::array<char, max_text> text_{};
    size_t cells_{}, used_{};
    bool full_{};
};

} // namespace shell
