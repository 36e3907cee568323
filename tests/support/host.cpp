// What every host test stands on: a broken invariant is an exception, so that a test can expect it.
#include <source_location>
#include <stdexcept>
#include <string>

#include "lib/base/invariant.hpp"

void invariant_broken(const char* condition, const char* why, const std::source_location& where) {
    throw std::logic_error(
        std::string{where.file_name()} + ":" + std::to_string(where.line()) + ": " + condition +
        " (" + why + ")"
    );
}
