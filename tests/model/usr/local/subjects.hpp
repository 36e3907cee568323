// What this program measures, and the rows that it prints afterwards.
#pragma once

#include <string_view>

#include "lib/base/result.hpp"
#include "tests/model/checks.hpp"

namespace local {

struct Figure {
    std::string_view kind, operation;
    uint64_t size;
    experiments::Sampled taken;
};

/// In the order in which they were measured, which is that of the markers.
class Figures {
  public:
    void add(const Figure& figure) {
        if (count_ < all_.size()) all_[count_++] = figure;
    }

    std::span<const Figure> all() const { return std::span{all_}.first(count_); }

  private:
    std::array<Figure, 64> all_{};
    size_t count_{};
};

Result<> measure_copies(Figures& into);
Result<> measure_timers(Figures& into);

} // namespace local
