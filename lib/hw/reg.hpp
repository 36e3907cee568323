// Registers as types: each names its offset, its width, how it may be accessed, and its fields.
// A field belongs to its register (Status::LinkUp does not fit a Ctrl value), and an access that
// the hardware gives another meaning (read clears, write 1 clears) does not compile as a plain one.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "lib/base/invariant.hpp"

namespace hw {

// How a register may be accessed. `modify` (read, change, write back) exists for ReadWrite only:
// on the others it would lose events or acknowledge what nobody has looked at.
struct ReadWrite {
    static constexpr bool readable = true, writable = true, modifiable = true;
};

struct ReadOnly {
    static constexpr bool readable = true, writable = false, modifiable = false;
};

struct WriteOnly {
    static constexpr bool readable = false, writable = true, modifiable = false;
};

struct ReadClears { // reading acknowledges: one read, one decision
    static constexpr bool readable = true, writable = false, modifiable = false;
};

struct WriteClears { // writing 1 acknowledges that bit
    static constexpr bool readable = true, writable = true, modifiable = false;
};

/// One register at `Offset`. Derive from it and declare the fields inside:
/// `struct Status : hw::Reg<0x08, hw::ReadOnly> { using LinkUp = Bit<1>; };`
template <uint32_t Offset, class AccessT = ReadWrite, std::unsigned_integral RawT = uint32_t>
struct Reg {
    using Raw = RawT;
    using Access = AccessT;
    static constexpr uint32_t offset = Offset;

    struct Value {
        Raw raw{};

        template <std::derived_from<Value> F>
        constexpr auto get() const {
            return F::decode(raw);
        }

        template <std::derived_from<Value> F>
        constexpr Value with(F f) const {
            return {static_cast<Raw>((raw & static_cast<Raw>(~F::mask)) | f.raw)};
        }

        friend constexpr bool operator==(Value, Value) = default;
    };

    template <unsigned Hi, unsigned Lo, class T = Raw>
    struct Field : Value {
        static_assert(Lo <= Hi && Hi < 8 * sizeof(Raw), "field outside its register");
        static constexpr unsigned high = Hi, low = Lo;
        static constexpr Raw mask = static_cast<Raw>(
            (std::numeric_limits<Raw>::max() >> (8 * sizeof(Raw) - 1 - (Hi - Lo))) << Lo
        );

        constexpr explicit Field(T v)
            : Value{static_cast<Raw>((static_cast<Raw>(v) << Lo) & mask)} {}

        static constexpr T decode(Raw r) { return static_cast<T>((r & mask) >> Lo); }
    };

    template <unsigned N>
    using Bit = Field<N, N, bool>;

    /// The register's value with these fields set and everything else 0.
    template <std::derived_from<Value>... F>
    static constexpr Value of(F... fields) {
        return {static_cast<Raw>((Raw{0} | ... | fields.raw))};
    }
};

/// `Count` equal registers, `Stride` apart (bytes, or numbers where registers are numbered).
template <
    uint32_t Offset,
    uint32_t Stride,
    uint32_t Count,
    class AccessT = ReadWrite,
    std::unsigned_integral RawT = uint32_t>
struct RegArray : Reg<Offset, AccessT, RawT> {
    static constexpr uint32_t stride = Stride, count = Count;
    static_assert(Stride > 0 && Count > 0);
};

/// What a block of registers stands on: memory of a device, or a fake in a test.
template <class Io>
concept RegisterIo = requires(Io io, uint32_t offset) {
    { io.template load<uint32_t>(offset) } -> std::same_as<uint32_t>;
    io.store(offset, uint32_t{});
};

template <class R>
concept Readable = R::Access::readable;
template <class R>
concept Writable = R::Access::writable;
template <class R>
concept Modifiable = R::Access::modifiable;
template <class R>
concept Indexed = requires { R::count; };

/// The registers of one device, over whatever `Io` reaches them.
template <RegisterIo Io>
struct Block {
    Io io;

    template <Readable R>
        requires(!Indexed<R>)
    typename R::Value read() {
        return {io.template load<typename R::Raw>(R::offset)};
    }

    template <Writable R>
        requires(!Indexed<R>)
    void write(typename R::Value v) {
        io.store(R::offset, v.raw);
    }

    /// Reads, sets the given fields, writes back: two accesses, not atomic against the device.
    template <Modifiable R, std::derived_from<typename R::Value>... F>
        requires(!Indexed<R>)
    void modify(F... fields) {
        typename R::Value v = read<R>();
        ((v = v.with(fields)), ...);
        write<R>(v);
    }

    template <Readable R>
        requires Indexed<R>
    typename R::Value read(uint32_t index) {
        INVARIANT(index < R::count, "an index into a register array comes from our own code");
        return {io.template load<typename R::Raw>(R::offset + index * R::stride)};
    }

    template <Writable R>
        requires Indexed<R>
    void write(uint32_t index, typename R::Value v) {
        INVARIANT(index < R::count, "an index into a register array comes from our own code");
        io.store(R::offset + index * R::stride, v.raw);
    }
};

} // namespace hw
