// An image from anywhere must be refused or be safe to load; symbols must not read beyond it.
#include "lib/base/elf.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    constexpr elf::Limits user_half{virt(0x1000), virt(0x0000'8000'0000'0000)};
    const Bytes file = std::as_bytes(std::span{data, size});
    const auto image = elf::Image::parse(file, user_half);
    if (!image) return 0;
    for (const elf::Segment& s : image->segments()) {
        if (s.address < user_half.begin || s.end_page() > user_half.end.raw) __builtin_trap();
        if (s.writable && s.executable) __builtin_trap();
        if (s.file.size() > s.memory_bytes) __builtin_trap();
        for (std::byte b : s.file)
            asm volatile("" ::"r"(b));
    }
    if (const auto symbol = image->symbol(image->entry()))
        for (char c : symbol->name)
            asm volatile("" ::"r"(c));
    if (const auto text = image->section(".text"))
        for (std::byte b : text->file)
            asm volatile("" ::"r"(b));
    return 0;
}
