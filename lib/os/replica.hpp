// What one domain writes and others read at any time, without a lock, in a page they share. There
// are two copies: the writer fills the one that nobody is shown and then turns them round; who
// reads looks at the version before and after, so that what he has read is one state, not a
// mixture. A copy's words are atomic, and read and written relaxed: the version orders them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace os {

template <class Copy>
class Replica {
  public:
    // -- the writer --

    /// The copy that is shown after the next publish(); it holds what was shown before the last.
    Copy& draft() {
        // release: pairs with the acquire fence of read(): who sees a word that is put from now on
        // sees that the version he began with is over
        std::atomic_thread_fence(std::memory_order_release);
        return copies_[next_version() % 2];
    }

    void publish() {
        // release: who sees this version sees what was put before
        version_.store(next_version(), std::memory_order_release);
    }

    // -- readers --

    /// What look(copy) answers about one state; it may be asked several times, and about mixtures,
    /// so it believes nothing it reads.
    template <class Look>
    auto read(Look&& look) const {
        for (;;) {
            // acquire: pairs with publish()
            const uint64_t version = version_.load(std::memory_order_acquire);
            const auto result = look(copies_[version % 2]);
            // acquire: pairs with the release fence of draft(); what was read is not read after the
            // version below
            std::atomic_thread_fence(std::memory_order_acquire);
            // relaxed: the fence orders it. Only after another publish() is this copy written to.
            if (version_.load(std::memory_order_relaxed) == version) return result;
        }
    }

  private:
    // relaxed: its only writer asks
    uint64_t next_version() const { return version_.load(std::memory_order_relaxed) + 1; }

    std::atomic<uint64_t> version_{};
    std::array<Copy, 2> copies_{};
};

} // namespace os
