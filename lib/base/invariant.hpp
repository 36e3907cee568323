// INVARIANT is for our own mistakes only, never for anything another domain can cause.
#pragma once

#include <source_location>

/// Ends the program that broke its own promise: panics the core, ends the domain, fails the test.
/// Each program (CPU driver, domain, host test) defines it once.
[[noreturn]] void
invariant_broken(const char* condition, const char* why, const std::source_location& where);

#define INVARIANT(cond, why)                                                                       \
    do {                                                                                           \
        if (!(cond)) [[unlikely]]                                                                  \
            invariant_broken(#cond, why, std::source_location::current());                         \
    } while (0)
