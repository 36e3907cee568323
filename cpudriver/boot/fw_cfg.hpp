// Files that QEMU hands to its guest, by the two ports of its fw_cfg device. On a machine without
// it the ports read as ones, the signature does not match, and there are no files.
// Source: QEMU docs/specs/fw_cfg.rst.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "lib/base/bytes.hpp"
#include "lib/hw/port.hpp"

namespace boot {

template <hw::PortIo Io>
class FwCfg {
  public:
    explicit FwCfg(Io& io) : io_{io} {}

    /// Reads the file of that name into `out` and returns what fits; nothing if there is none.
    std::optional<std::string_view> file(std::string_view name, std::span<char> out) {
        if (!present()) return std::nullopt;
        select(directory_key);
        const uint32_t count = std::min<uint32_t>(take<Be<uint32_t>>(), files_max);
        for (uint32_t i = 0; i < count; ++i) {
            const auto entry = take<Entry>();
            if (name_of(entry) != name) continue;
            select(entry.key);
            const size_t bytes = std::min<size_t>(entry.bytes, out.size());
            for (char& c : out.first(bytes))
                c = static_cast<char>(io_.in8(data_port));
            return std::string_view{out.data(), bytes};
        }
        return std::nullopt;
    }

  private:
    static constexpr uint16_t selector_port = 0x510, data_port = 0x511;
    static constexpr uint16_t signature_key = 0, directory_key = 0x19;
    static constexpr uint32_t files_max = 256;

    struct Entry {
        Be<uint32_t> bytes;
        Be<uint16_t> key;
        Be<uint16_t> reserved;
        std::array<char, 56> name;
    };

    static_assert(sizeof(Entry) == 64 && alignof(Entry) == 1);

    static std::string_view name_of(const Entry& entry) {
        const std::string_view all{entry.name.data(), entry.name.size()};
        return all.substr(0, all.find('\0'));
    }

    void select(uint16_t key) { io_.out16(selector_port, key); }

    template <class T>
    T take() {
        std::array<std::byte, sizeof(T)> raw;
        for (std::byte& b : raw)
            b = std::byte{io_.in8(data_port)};
        return std::bit_cast<T>(raw);
    }

    bool present() {
        select(signature_key);
        return take<std::array<char, 4>>() == std::array{'Q', 'E', 'M', 'U'};
    }

    Io& io_;
};

} // namespace boot
