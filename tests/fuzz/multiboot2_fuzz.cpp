// Whatever a loader hands over: every view must lie in the input, every range must be one.
#include "lib/hw/multiboot2.hpp"

namespace {

void touch(std::string_view text) {
    for (char c : text)
        asm volatile("" ::"r"(c));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto info = hw::multiboot2::parse(std::as_bytes(std::span{data, size}));
    if (!info) return 0;
    touch(info->command_line);
    touch(info->loader);
    for (const auto& module : info->modules)
        touch(module.command_line);
    for (std::byte b : info->rsdp)
        asm volatile("" ::"r"(b));
    for (const auto& range : info->memory) {
        if (range.bytes == 0 || range.base.raw + range.bytes < range.base.raw) __builtin_trap();
        const auto type = static_cast<uint32_t>(range.type);
        if (type < 1 || type > 5) __builtin_trap();
    }
    return 0;
}
