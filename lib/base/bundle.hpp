// The bundle: every domain image and file that the system boots with, in one file. The format is
// written down in docs/bundle.md; tools/bundle.py makes it, this reads it and believes nothing.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "lib/base/bytes.hpp"
#include "lib/base/crc32.hpp"

namespace bundle {

enum class Kind : uint32_t { file, domain };

struct Header {
    std::array<char, 8> magic;
    uint32_t count;
    uint32_t total_bytes; // of the whole bundle, this header included
};

static_assert(sizeof(Header) == 16);

struct Entry {
    std::array<char, 48> name; // ends with NUL, the rest is NUL too
    uint32_t offset;           // from the start of the bundle
    uint32_t bytes;
    uint32_t crc32;
    Kind kind;
};

static_assert(sizeof(Entry) == 64);

inline constexpr std::array<char, 8> magic{'S', 'K', 'E', 'R', 'R', 'Y', 'B', '1'};

/// One file, as a view into the bundle.
struct File {
    std::string_view name;
    Bytes data;
    uint32_t crc32{};
    Kind kind{};

    bool intact() const { return ::crc32(data) == crc32; }
};

class Bundle {
  public:
    /// Errors: truncated (shorter than it says); malformed (magic, names, offsets, kinds).
    /// The contents are not summed here, as that reads every page: ask File::intact().
    static Result<Bundle> parse(Bytes file) {
        Bytes rest = file;
        const Header header = TRY(peel<Header>(rest));
        if (header.magic != magic) return fail(Err::malformed);
        if (header.total_bytes > file.size()) return fail(Err::truncated);
        if (header.total_bytes < sizeof(Header)) return fail(Err::malformed);
        const uint64_t table_bytes = uint64_t{header.count} * sizeof(Entry);
        if (table_bytes > header.total_bytes - sizeof(Header)) return fail(Err::truncated);
        const Bundle bundle{file.first(header.total_bytes), header.count};
        for (uint32_t i = 0; i < header.count; ++i)
            TRY_VOID(bundle.check(i));
        return bundle;
    }

    uint32_t count() const { return count_; }

    Bytes whole() const { return whole_; }

    /// `index` < count().
    File file(uint32_t index) const {
        const Entry entry = entry_at(index);
        return {name_at(index), whole_.subspan(entry.offset, entry.bytes), entry.crc32, entry.kind};
    }

    /// Errors: not_found.
    Result<File> find(std::string_view name) const {
        for (uint32_t i = 0; i < count_; ++i)
            if (is_named(i, name)) return file(i);
        return fail(Err::not_found);
    }

  private:
    Bundle(Bytes whole, uint32_t count) : whole_{whole}, count_{count} {}

    Bytes entry_bytes(uint32_t index) const {
        return whole_.subspan(sizeof(Header) + uint64_t{index} * sizeof(Entry), sizeof(Entry));
    }

    Entry entry_at(uint32_t index) const {
        Bytes bytes = entry_bytes(index);
        return *peel<Entry>(bytes);
    }

    /// A view into the bundle itself, so that it lives as long as the bundle.
    std::string_view name_at(uint32_t index) const {
        const Bytes name = entry_bytes(index).first(sizeof(Entry::name));
        const auto end = std::ranges::find(name, std::byte{0});
        const void* start = name.data();
        return {static_cast<const char*>(start), static_cast<size_t>(end - name.begin())};
    }

    bool is_named(uint32_t index, std::string_view name) const {
        const Bytes stored = entry_bytes(index).first(sizeof(Entry::name));
        const auto same = [](std::byte a, char b) { return a == static_cast<std::byte>(b); };
        return name.size() < stored.size() && stored[name.size()] == std::byte{0} &&
               std::ranges::equal(stored.first(name.size()), name, same);
    }

    Result<> check(uint32_t index) const {
        const Entry entry = entry_at(index);
        const size_t length = name_at(index).size();
        if (length == 0 || length == entry.name.size()) return fail(Err::malformed);
        if (std::ranges::any_of(std::span{entry.name}.subspan(length), [](char c) { return c; }))
            return fail(Err::malformed);
        if (entry.kind != Kind::file && entry.kind != Kind::domain) return fail(Err::malformed);
        const uint64_t data_begin = sizeof(Header) + uint64_t{count_} * sizeof(Entry);
        if (entry.offset < data_begin || entry.offset > whole_.size()) return fail(Err::malformed);
        if (entry.bytes > whole_.size() - entry.offset) return fail(Err::truncated);
        for (uint32_t i = 0; i < index; ++i)
            if (name_at(i) == name_at(index)) return fail(Err::malformed);
        return {};
    }

    Bytes whole_;
    uint32_t count_;
};

} // namespace bundle
