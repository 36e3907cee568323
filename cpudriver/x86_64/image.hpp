// Where the linker put things: addresses in the image, which every core maps at the same place.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
extern std::byte image_begin[], image_text_end[], image_rodata_end[], image_end[];
extern std::byte kernel_stack_guard[], kernel_stack_top[];
extern std::byte debug_stack_guard[], debug_stack_top[];
extern std::byte nmi_stack_guard[], nmi_stack_top[];
extern std::byte double_fault_stack_guard[], double_fault_stack_top[];
extern std::byte machine_check_stack_guard[], machine_check_stack_top[];
extern std::byte cpu_vector_stubs[];
void cpu_system_call();
}

namespace cpu {

inline uint64_t address_of(const void* p) {
    return reinterpret_cast<uint64_t>(p);
}

} // namespace cpu
