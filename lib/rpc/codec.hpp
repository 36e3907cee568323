// Values to bytes and back. What is read comes from another domain: every length and enumerator is
// checked, and reading past the end is an error, not a fault. Little-endian, unaligned, no padding.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "lib/abi/capability.hpp"
#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/base/text.hpp"

namespace rpc {

/// Room was computed from the same types, so a writer cannot run over; what would is left out.
class Writer {
  public:
    explicit Writer(MutableBytes out) : out_{out} {}

    size_t written() const { return at_; }

    template <class T>
        requires std::is_arithmetic_v<T>
    void put(T value) {
        fixed<sizeof(T)>(&value);
    }

    template <class E>
        requires std::is_enum_v<E>
    void put(E value) {
        put(std::to_underlying(value));
    }

    void put(PhysAddr value) { put(value.raw); }

    void put(CoreId value) { put(value.raw); }

    /// The token by which the other side asks for it, while it is in a message.
    void put(abi::CapSlot value) { put(value.raw); }

    void put(Fault value) { put(value.raw()); }

    template <size_t N>
    void put(const std::array<uint8_t, N>& value) {
        fixed<N>(value.data());
    }

    template <size_t N>
    void put(const Text<N>& value) {
        if (out_.size() - at_ < N) return;
        const MutableBytes field = out_.subspan(at_, N);
        const Bytes text = std::as_bytes(std::span{value.view()});
        std::ranges::fill(std::ranges::copy(text, field.begin()).out, field.end(), std::byte{0});
        at_ += N;
    }

    /// Only what is there travels, behind its length.
    template <size_t N>
    void put(const Blob<N>& value) {
        put(static_cast<uint16_t>(value.size()));
        if (out_.size() - at_ < value.size()) return;
        std::ranges::copy(value.span(), out_.subspan(at_).begin());
        at_ += value.size();
    }

  private:
    template <size_t N>
    void fixed(const void* from) {
        if (out_.size() - at_ < N) return;
        __builtin_memcpy(out_.data() + at_, from, N);
        at_ += N;
    }

    MutableBytes out_;
    size_t at_{};
};

/// After the first error every get() gives a default value; ok() says it once at the end.
class Reader {
  public:
    explicit Reader(Bytes in) : in_{in} {}

    bool ok() const { return ok_; }

    template <class T>
        requires std::is_arithmetic_v<T>
    void get(T& value) {
        std::array<std::byte, sizeof(T)> bytes{};
        fixed<sizeof(T)>(bytes.data());
        if constexpr (std::same_as<T, bool>) {
            // Any other bit pattern in a bool is undefined behaviour.
            if (std::to_integer<unsigned>(bytes[0]) > 1) ok_ = false;
            value = bytes[0] == std::byte{1};
        } else {
            value = std::bit_cast<T>(bytes);
        }
    }

    /// `count` enumerators from 0 on are legal.
    template <class E>
        requires std::is_enum_v<E>
    void get(E& value, uint32_t count) {
        std::underlying_type_t<E> number{};
        get(number);
        if (number >= count) ok_ = false;
        value = ok_ ? E(number) : E{};
    }

    void get(PhysAddr& value) { get(value.raw); }

    void get(CoreId& value) { get(value.raw); }

    void get(abi::CapSlot& value) { get(value.raw); }

    void get(Fault& value) {
        uint64_t chain{};
        get(chain);
        value = Fault::from_raw(chain);
    }

    template <size_t N>
    void get(std::array<uint8_t, N>& value) {
        fixed<N>(value.data());
    }

    template <size_t N>
    void get(Text<N>& value) {
        std::array<char, N> text{};
        fixed<N>(text.data());
        value = Text<N>::cut({text.data(), N});
    }

    template <size_t N>
    void get(Blob<N>& value) {
        uint16_t size{};
        get(size);
        if (size > N || size > in_.size()) ok_ = false;
        if (!ok_) return;
        value = *Blob<N>::from(in_.first(size));
        in_ = in_.subspan(size);
    }

  private:
    template <size_t N>
    void fixed(void* to) {
        if (in_.size() < N) ok_ = false;
        if (!ok_) return;
        __builtin_memcpy(to, in_.data(), N);
        in_ = in_.subspan(N);
    }

    Bytes in_;
    bool ok_{true};
};

} // namespace rpc
