#include "cpudriver/x86_64/panic.hpp"

#include <optional>
#include <source_location>

#include "cpudriver/x86_64/image.hpp"
#include "cpudriver/x86_64/instructions.hpp"
#include "cpudriver/x86_64/serial.hpp"
#include "lib/base/elf.hpp"
#include "lib/base/invariant.hpp"
#include "lib/hw/startup_tables.hpp"

namespace cpu {

namespace {

struct Names {
    uint64_t core{};
    Bytes file; // the CPU driver's ELF file; empty where there is none
};

constinit Names names{};

/// What the CPU driver pushes on an exception of its own, see entry.S.
struct OwnFault {
    uint64_t vector, code, rip, cs, rflags, rsp;
};

void say_address(uint64_t at) {
    const VirtAddr image = hw::cpu_driver_image;
    const auto elf = elf::Image::parse(names.file, {image, image + large_page_bytes});
    const auto symbol = elf ? elf->symbol(virt(at)) : std::nullopt;
    if (symbol)
        serial::line("  {:016x} {}+0x{:x}", at, symbol->name, symbol->offset);
    else
        serial::line("  {:016x} image+0x{:x}", at, at - image.raw);
}

bool in_image(uint64_t at) {
    return at >= address_of(image_begin) && at < address_of(image_end);
}

/// Frames in our own image only: the way ends where user code, asm or nonsense begins.
void walk(uint64_t frame) {
    constexpr int longest = 32;
    for (int i = 0; i < longest && in_image(frame) && frame % 8 == 0; ++i) {
        const auto* words = std::bit_cast<const uint64_t*>(frame);
        if (!in_image(words[1])) return;
        say_address(words[1] - 1); // in the call, not behind it
        if (words[0] <= frame) return;
        frame = words[0];
    }
}

} // namespace

void prepare_panic(const abi::BootInfo& info) {
    names.core = info.core;
    // Core boot may leave the file out, and then the addresses have to do.
    const uint64_t end = info.image_block + large_page_bytes;
    if (info.image_file < info.image_block || info.image_file_bytes > end - info.image_file) return;
    const uint64_t at = hw::cpu_driver_image.raw + (info.image_file - info.image_block);
    names.file = {std::bit_cast<const std::byte*>(at), info.image_file_bytes};
}

void panic_from(uint64_t frame, uint64_t at, std::string_view text) {
    interrupts_off();
    serial::line("");
    serial::line("[{}] CPU driver panic: {}", names.core, text);
    if (at != 0) say_address(at);
    walk(frame);
    serial::line("[{}] core halted", names.core);
    for (;;) {
        interrupts_off();
        halt();
    }
}

extern "C" [[noreturn]] void cpu_handle_own_fault(const OwnFault* fault, uint64_t frame) {
    std::array<char, 240> text;
    const std::string_view line = format_to(
        text,
        "exception {} code {:x} address {:016x} rip {:016x} rsp {:016x}",
        fault->vector,
        fault->code,
        read_cr2(),
        fault->rip,
        fault->rsp
    );
    panic_from(frame, fault->rip, line);
}

} // namespace cpu

void invariant_broken(const char* condition, const char* why, const std::source_location& where) {
    cpu::panic("{}:{}: {} does not hold ({})", where.file_name(), where.line(), condition, why);
}

namespace std {
void __glibcxx_assert_fail(
    const char* file, int line, const char*, const char* condition
) noexcept {
    cpu::panic("{}:{}: {} does not hold", file, line, condition);
}
} // namespace std

extern "C" [[noreturn]] void __cxa_pure_virtual() {
    cpu::panic("a pure virtual function was called");
}
