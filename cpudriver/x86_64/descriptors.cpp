#include "cpudriver/x86_64/descriptors.hpp"

#include <array>
#include <cstdint>

#include "cpudriver/x86_64/image.hpp"
#include "cpudriver/x86_64/instructions.hpp"
#include "cpudriver/x86_64/offsets.hpp"

namespace cpu {

namespace {

struct [[gnu::packed]] TaskState { // SDM 7.7
    uint32_t reserved_a{};
    std::array<uint64_t, 3> stack{};
    uint64_t reserved_b{};
    std::array<uint64_t, 7> exception_stack{}; // numbers 1..7 in a gate
    uint64_t reserved_c{};
    uint16_t reserved_d{};
    uint16_t io_map{};
};

static_assert(sizeof(TaskState) == 104);

struct Gate { // SDM 6.14.1
    uint16_t offset_low{}, selector{};
    uint8_t stack{};
    uint8_t type{};
    uint16_t offset_middle{};
    uint32_t offset_high{};
    uint32_t reserved{};
};

static_assert(sizeof(Gate) == 16);

constexpr uint8_t debug_vector = 1, nmi_vector = 2, breakpoint_vector = 3;
constexpr uint8_t double_fault_vector = 8, machine_check_vector = 18;
constexpr uint8_t interrupt_gate = 0x8e, interrupt_gate_for_users = 0xee;

constinit TaskState task_state{};
constinit std::array<Gate, VECTORS> gates{};
constinit std::array<uint64_t, 7> segments{
    0,
    0x00209a0000000000, // code, 64-bit, ring 0
    0x0000920000000000, // data, ring 0
    0x0000f20000000000, // data, ring 3
    0x0020fa0000000000, // code, 64-bit, ring 3
    0,                  // task state, two words
    0,
};
static_assert(TASK_STATE == 5 * 8);

void fill_task_state() {
    task_state.stack[0] = address_of(kernel_stack_top);
    task_state.exception_stack[0] = address_of(debug_stack_top);
    task_state.exception_stack[1] = address_of(nmi_stack_top);
    task_state.exception_stack[2] = address_of(double_fault_stack_top);
    task_state.exception_stack[3] = address_of(machine_check_stack_top);
    task_state.io_map = sizeof task_state; // behind the limit: no port is open to ring 3
    const uint64_t at = address_of(&task_state);
    segments[5] = (sizeof task_state - 1) | (at & 0xff'ffff) << 16 | uint64_t{0x89} << 40 |
                  (at >> 24 & 0xff) << 56;
    segments[6] = at >> 32;
}

constexpr uint8_t stack_of(unsigned vector) {
    switch (vector) {
    case debug_vector: return 1;
    case nmi_vector: return 2;
    case double_fault_vector: return 3;
    case machine_check_vector: return 4;
    default: return 0;
    }
}

void fill_gates() {
    for (unsigned v = 0; v < VECTORS; ++v) {
        const uint64_t at = address_of(cpu_vector_stubs + v * VECTOR_STUB_BYTES);
        gates[v] = {
            .offset_low = static_cast<uint16_t>(at),
            .selector = KERNEL_CODE,
            .stack = stack_of(v),
            .type = v == breakpoint_vector ? interrupt_gate_for_users : interrupt_gate,
            .offset_middle = static_cast<uint16_t>(at >> 16),
            .offset_high = static_cast<uint32_t>(at >> 32),
        };
    }
}

} // namespace

void load_descriptors() {
    fill_task_state();
    fill_gates();
    load_gdt({sizeof segments - 1, address_of(segments.data())});
    // cs is that of the start-up table, which has the same number and the same bits; the data
    // segments are null, which ring 0 may have.
    load_task_register(TASK_STATE);
    load_idt({sizeof gates - 1, address_of(gates.data())});
}

} // namespace cpu
