// Segments, the task state with its exception stacks, and the interrupt table of this core.
// Source: Intel SDM vol. 3A 3.4.5, 6.14, 7.7.
#pragma once

namespace cpu {

/// Loads all three; from here on an exception ends in our handlers.
void load_descriptors();

} // namespace cpu
