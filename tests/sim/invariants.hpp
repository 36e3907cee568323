// What must hold of the whole machine: said of kernels, tables and ownership, with no knowledge of
// how the protocols get there. Each check throws Broken.
#pragma once

namespace sim {

class World;

/// At every moment: each kernel's database, its page tables, what it owns.
void check_always(World& world);

/// When nothing is under way: the same, and what the cores know of each other is exact.
void check_at_rest(World& world);

/// When every domain has been ended.
void check_nothing_is_left(World& world);

} // namespace sim
