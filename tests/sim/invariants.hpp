// What must hold of the whole machine: said of kernels, tables and ownership, with no knowledge of
// how the protocols get there. Each check throws Broken.
#pragma once

#include <cstdint>

#include "kernel/slot.hpp"

namespace sim {

class Domain;
class Island;
class World;

/// On no core is there anything that overlaps the range but `own`, and the memory it is made of.
/// `after` says what should have done that.
void check_nothing_over(
    World& world, uint64_t base, uint64_t bytes, const kernel::Slot* own, const char* after
);

/// The monitor knows that this domain is gone: nobody finds it by name.
void check_names(Island& island, uint32_t badge);

/// The kill of this domain is over: memory and names are free.
void check_dead(World& world, Domain& dead);

/// At every moment: each kernel's database, its page tables, what it owns.
void check_always(World& world);

/// When nothing is under way: the same, and what the cores know of each other is exact.
void check_at_rest(World& world);

/// When every domain has been ended.
void check_nothing_is_left(World& world);

} // namespace sim
