// Where things lie in the one address space of a domain that spans cores, and the memory that all
// its workers have from the start and never lose: loops touch nothing else that is shared.
#pragma once

#include "lib/abi/startup.hpp"
#include "lib/os/heap.hpp"
#include "lib/os/threads/sync.hpp"
#include "lib/span/range.hpp"

namespace os {

// Below abi::views_at, where each worker has what is its own.
constexpr VirtAddr control_at = abi::heap_at;
constexpr VirtAddr stacks_at = control_at + (uint64_t{1} << 30);
constexpr VirtAddr maps_at = control_at + (uint64_t{64} << 30);
constexpr VirtAddr maps_end = control_at + (uint64_t{256} << 30);

constexpr uint64_t thread_stack_bytes = 64 * 1024;
/// The lower half of each place stays empty, as a guard.
constexpr uint64_t stack_stride = 2 * thread_stack_bytes;
constexpr uint32_t most_threads = 128;

/// Frames by number, beside those that the home makes as it goes.
constexpr uint32_t image_frame = 1, control_frame = 2, first_frame = 3;

constexpr span::Range stack_of(uint32_t thread) {
    const VirtAddr end = stacks_at + (thread + 1) * stack_stride;
    return {virt(end.raw - thread_stack_bytes), end};
}

/// Where the program's own data lies, and in the frame of the home's image.
struct SharedImage {
    span::Region region;
    std::array<uint32_t, 4> tables; // a worker's page tables for it
};

inline SharedImage shared_image() {
    const auto& given = *reinterpret_cast<const abi::ArgumentPage*>(abi::arguments_at.raw);
    const VirtAddr begin = virt(given.shared_begin);
    return {
        {{begin, begin + given.shared_bytes},
         image_frame,
         given.shared_offset,
         abi::read | abi::write},
        given.shared_tables,
    };
}

/// A worker's in-tray.
struct alignas(64) Desk {
    ThreadInbox inbox;
    std::atomic<uint32_t> asleep{}; // its loop sleeps, or is about to: ring
    uint32_t core{};
};

struct Control {
    uint64_t program{}; // int (*)(), the same address everywhere
    uint32_t workers{};
    std::array<char, 512> arguments{};

    Spin threads; // guards the next two
    ThreadQueue free_threads;
    uint32_t threads_made{};

    Mutex heap_lock;
    Heap heap;

    std::array<Desk, span::Workers::most> desks{};
    std::array<ThreadBlock, most_threads> blocks{};
};

constexpr uint64_t control_bytes = round_up(sizeof(Control), page_bytes);
static_assert(control_bytes <= 512 * page_bytes, "one page table covers it");

inline Control& control() {
    return *reinterpret_cast<Control*>(control_at.raw);
}

} // namespace os
