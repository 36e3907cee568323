// Builds little-endian tables for tests of parsers.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lib/base/bytes.hpp"

class Builder {
  public:
    template <std::unsigned_integral T>
    Builder& put(T value) {
        for (size_t i = 0; i < sizeof(T); ++i)
            bytes_.push_back(static_cast<std::byte>(static_cast<uint64_t>(value) >> (8 * i)));
        return *this;
    }

    Builder& text(std::string_view s) {
        for (char c : s)
            bytes_.push_back(static_cast<std::byte>(c));
        return *this;
    }

    Builder& zeros(size_t n) {
        bytes_.resize(bytes_.size() + n);
        return *this;
    }

    Builder& align(size_t to) { return zeros((to - bytes_.size() % to) % to); }

    template <std::unsigned_integral T>
    Builder& poke(size_t at, T value) {
        for (size_t i = 0; i < sizeof(T); ++i)
            bytes_.at(at + i) = static_cast<std::byte>(static_cast<uint64_t>(value) >> (8 * i));
        return *this;
    }

    /// Sets the byte at `at` so that the first `count` bytes sum to 0.
    Builder& checksum(size_t at, size_t count) {
        bytes_.at(at) = std::byte{0};
        unsigned sum = 0;
        for (size_t i = 0; i < count; ++i)
            sum += std::to_integer<unsigned>(bytes_.at(i));
        bytes_.at(at) = static_cast<std::byte>(256 - sum % 256);
        return *this;
    }

    size_t size() const { return bytes_.size(); }

    std::vector<std::byte>& raw() { return bytes_; }

    Bytes view() const { return bytes_; }

  private:
    std::vector<std::byte> bytes_;
};
