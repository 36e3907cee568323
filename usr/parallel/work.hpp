// What the example computes, and how it knows that it is right.
#pragma once

namespace parallel {

/// Each answers whether all cores together came to what one alone does.
bool sum();
bool product();
bool primes();
bool waves();

/// All workers as a group. Before, in domain_main: what the monitors know of the machine.
void know_machine();
bool act_as_one();

/// Whether lib/os keeps its promises: rights that change everywhere, also where a thread computes
/// and calls nothing; registers across a page fault.
bool rights();
bool interruptions();
bool registers();

} // namespace parallel
