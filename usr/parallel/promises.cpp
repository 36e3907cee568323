// What lib/os promises to threads beyond right results: rights that change on all cores, registers
// that outlive a page fault.
#include "lib/os/instructions.hpp"
#include "lib/os/span/span.hpp"
#include "usr/parallel/work.hpp"

namespace parallel {
namespace {

using Wide = uint64_t __attribute__((vector_size(32)));

bool has_avx() {
    constexpr uint32_t osxsave_and_avx = 1u << 27 | 1u << 28; // SDM vol. 1, 14.3
    return (os::cpuid(1).ecx & osxsave_and_avx) == osxsave_and_avx;
}

/// Volatile, so that the values are in registers while the page is touched.
[[gnu::target("avx"), gnu::noinline]] bool survive(std::byte& page, uint64_t seed) {
    const Wide one{seed, seed + 1, seed + 2, seed + 3}, other = ~one;
    const volatile Wide from[2]{one, other};
    volatile Wide to[2];
    const Wide a = from[0], b = from[1];
    *const_cast<volatile std::byte*>(&page) = std::byte{1};
    to[0] = a;
    to[1] = b;
    const Wide wrong = (to[0] ^ one) | (to[1] ^ other);
    return (wrong[0] | wrong[1] | wrong[2] | wrong[3]) == 0;
}

/// Comes back with `seed` if no register was lost on the way.
uint64_t compute_until(const std::atomic<bool>& over, uint64_t seed) {
    constexpr uint64_t odd = 0x9e37'79b9'7f4a'7c15;
    double turns = 0;
    uint64_t sum = seed;
    while (!over.load(std::memory_order_relaxed)) { // relaxed: pairs with the store that ends it
        sum += odd;
        turns += 1;
        __builtin_ia32_pause();
    }
    return sum - static_cast<uint64_t>(turns) * odd;
}

/// Each worker's byte of the page: `work` answers whether it was as it should be.
template <class Work>
Result<bool> everywhere(const MutableBytes& page, Work work) {
    std::atomic<uint32_t> wrong{};
    {
        std::array<os::Thread, 64> threads;
        for (uint32_t w = 0; w < os::worker_count(); ++w)
            threads[w] = TRY(os::Thread::create_on(w, [&wrong, page, work, w] {
                if (!work(page[w], w)) ++wrong;
            }));
    }
    return wrong.load() == 0;
}

Result<bool> change_rights() {
    const MutableBytes page = TRY(os::map_shared(page_bytes));
    const auto write = [](std::byte& b, uint32_t w) {
        b = std::byte(w + 1);
        return true;
    };
    const auto read = [](const std::byte& b, uint32_t w) { return b == std::byte(w + 1); };
    bool right = TRY(everywhere(page, write));
    right &= TRY(os::protect_shared(page, abi::read)); // dirty: it was written
    right &= TRY(everywhere(page, read));
    right &= !TRY(os::protect_shared(page, abi::read | abi::write));
    right &= TRY(everywhere(page, write)) && TRY(everywhere(page, read));
    right &= TRY(os::unmap_shared(page));
    return right;
}

/// Each thread but ours computes and calls nothing until the page it has seen is gone: its core
/// takes it away all the same, and what it computed with is as it was.
Result<bool> interrupt_loops() {
    const MutableBytes page = TRY(os::map_shared(page_bytes));
    os::Barrier all_compute{os::worker_count()};
    std::atomic<bool> gone{};
    std::atomic<uint32_t> wrong{};
    std::array<os::Thread, 64> threads;
    for (uint32_t w = 0; w < os::worker_count(); ++w) {
        if (w == os::this_worker()) continue;
        threads[w] = TRY(os::Thread::create_on(w, [&, page, w] {
            page[w] = std::byte{1};
            all_compute.wait();
            if (compute_until(gone, w) != w) ++wrong;
        }));
    }
    all_compute.wait();
    const bool dirty = TRY(os::unmap_shared(page));
    gone.store(true, std::memory_order_relaxed); // relaxed: pairs with compute_until()
    for (os::Thread& thread : threads)
        thread = {};
    return wrong.load() == 0 && dirty == (os::worker_count() > 1);
}

} // namespace

bool interruptions() {
    return interrupt_loops().value_or(false);
}

bool rights() {
    return change_rights().value_or(false);
}

bool registers() {
    constexpr uint64_t pages = 64;
    if (!has_avx()) return true;
    const auto memory = os::map_shared(pages * page_bytes);
    if (!memory) return false;
    std::atomic<uint32_t> wrong{};
    os::parallel_for(0, pages, 1, [&](uint64_t i) {
        if (!survive((*memory)[i * page_bytes], i << 32)) ++wrong;
    });
    return wrong.load() == 0 && os::unmap_shared(*memory).has_value();
}

} // namespace parallel
