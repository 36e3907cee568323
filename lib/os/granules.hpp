// Memory for pages that appear when they are touched: pieces of one size, cut from frames, zeroed
// before they are handed out. `take` cannot wait or fail as long as `stock` was called in time.
#pragma once

#include <array>
#include <optional>

#include "lib/os/cells.hpp"
#include "lib/os/space_source.hpp"

namespace os {

struct Granule {
    CapSlot frame;
    uint64_t offset;
};

class Granules {
  public:
    constexpr Granules(SpaceSource& source, Cells& cells) : source_{&source}, cells_{&cells} {}

    /// Where a granule is seen while it is zeroed: a table exists there, and the slot is ours.
    struct Scratch {
        CapSlot table;
        uint32_t entry;
        VirtAddr at;
        CapSlot mapping;
    };

    /// `bytes` is a power of two of pages.
    void begin(uint64_t bytes, const Scratch& scratch);

    bool begun() const { return bytes_ != 0; }

    uint64_t bytes() const { return bytes_; }

    bool is_low() const { return begun() && ready_count_ <= wanted_ / 2; }

    /// Fills what is kept ready. Errors: quota, no_slots, no_space; some may have been added.
    Result<> stock();

    std::optional<Granule> take() {
        if (ready_count_ == 0) return std::nullopt;
        return ready_[--ready_count_];
    }

    /// It is mapped nowhere any more.
    void give_back(const Granule& granule);

    uint64_t frames_bytes() const { return frames_bytes_; }

  private:
    static constexpr size_t most_ready = 16;
    static constexpr uint32_t most_in_chunk = 32;

    struct Chunk { // one frame; bit i stands for its i-th granule
        Chunk* next;
        FrameObject frame;
        uint32_t free, dirty; // dirty: free, but not zero
    };

    static_assert(sizeof(Chunk) <= Cells::cell_bytes);

    uint32_t count_of(const Chunk& chunk) const {
        return static_cast<uint32_t>(chunk.frame.extent.bytes() / bytes_);
    }

    Result<Chunk*> with_free_one();
    Result<Chunk*> grow();
    Result<Chunk*> grow_by(uint32_t granules);
    Result<> clean(const Granule& granule);

    SpaceSource* source_;
    Cells* cells_;
    uint64_t bytes_{};
    Scratch scratch_{};
    Chunk* chunks_{};
    uint64_t frames_bytes_{};
    std::array<Granule, most_ready> ready_{};
    size_t ready_count_{}, wanted_{};
};

} // namespace os
