// Errors are values with a chain: one small enum, up to four causes in 64 bits.
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>
#include <utility>

enum class Err : uint16_t {
#define ERR(name, text) name,
#include "lib/base/error.def"
#undef ERR
};

/// Half a sentence that reads after a colon; "unknown error" for a number that is none of ours.
constexpr std::string_view text_of(Err e) {
    constexpr std::string_view texts[] = {
#define ERR(name, text) text,
#include "lib/base/error.def"
#undef ERR
    };
    const auto i = std::to_underlying(e);
    return i < std::size(texts) ? texts[i] : "unknown error";
}

/// Up to four causes, the newest in the low 16 bits; a fifth pushes the oldest out.
class Fault {
  public:
    constexpr Fault(Err e) : chain_{std::to_underlying(e)} {}

    static constexpr Fault from_raw(uint64_t chain) { return Fault{chain}; }

    /// The same trouble seen one level up: `outer` because of this.
    constexpr Fault because(Err outer) const {
        return Fault{(chain_ << 16) | std::to_underlying(outer)};
    }

    constexpr Err top() const { return Err(uint16_t(chain_)); }

    constexpr Err cause(unsigned depth) const {
        return depth < 4 ? Err(uint16_t(chain_ >> (16 * depth))) : Err::none;
    }

    constexpr uint64_t raw() const { return chain_; }

    friend constexpr bool operator==(Fault, Fault) = default;

    friend constexpr bool operator==(Fault f, Err e) { return f.top() == e; }

  private:
    constexpr explicit Fault(uint64_t chain) : chain_{chain} {}

    uint64_t chain_;
};

template <class T = void>
using Result = std::expected<T, Fault>;

constexpr std::unexpected<Fault> fail(Err e) {
    return std::unexpected<Fault>{Fault{e}};
}

constexpr std::unexpected<Fault> fail(Fault f) {
    return std::unexpected<Fault>{f};
}

/// Evaluates to the value, or leaves the function with the error. Not for coroutines: there a
/// plain `co_await` does the same (lib/async/task.hpp). May nest: each has a name of its own.
#define TRY(expr) TRY_NAMED(expr, TRY_NAME(__COUNTER__))
#define TRY_NAMED(expr, name)                                                                      \
    ({                                                                                             \
        auto name = (expr);                                                                        \
        if (!name) return std::unexpected<Fault>{name.error()};                                    \
        std::move(*name);                                                                          \
    })
#define TRY_NAME(number) TRY_JOIN(try_result_, number)
#define TRY_JOIN(a, b) a##b

/// The same for Result<> (there is no value to evaluate to).
#define TRY_VOID(expr) TRY_VOID_NAMED(expr, TRY_NAME(__COUNTER__))
#define TRY_VOID_NAMED(expr, name)                                                                 \
    do {                                                                                           \
        if (auto name = (expr); !name) return std::unexpected<Fault>{name.error()};                \
    } while (0)
