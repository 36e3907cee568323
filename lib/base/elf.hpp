// ELF64 executables for x86-64, read from bytes that nobody has checked: after parse() every
// segment is safe to load. Layouts: System V gABI, chapters 4 and 5.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "lib/base/bytes.hpp"
#include "lib/base/strong.hpp"

namespace elf {

struct FileHeader {
    std::array<uint8_t, 16> ident;
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, program_headers, section_headers;
    uint32_t flags;
    uint16_t header_bytes, program_header_bytes, program_header_count;
    uint16_t section_header_bytes, section_header_count, section_names;
};

static_assert(sizeof(FileHeader) == 64);

struct ProgramHeader {
    uint32_t type, flags;
    uint64_t offset, virtual_address, physical_address, file_bytes, memory_bytes, align;
};

static_assert(sizeof(ProgramHeader) == 56);

struct SectionHeader {
    uint32_t name, type;
    uint64_t flags, address, offset, bytes;
    uint32_t link, info;
    uint64_t align, entry_bytes;
};

static_assert(sizeof(SectionHeader) == 64);

struct SymbolEntry {
    uint32_t name;
    uint8_t info, other;
    uint16_t section;
    uint64_t value, bytes;
};

static_assert(sizeof(SymbolEntry) == 24);

/// What to load: `file` bytes at `address`, then zeroes up to `memory_bytes`.
struct Segment {
    VirtAddr address;
    uint64_t memory_bytes{};
    Bytes file;
    bool writable{};
    bool executable{};
    bool shared{}; // by all parts of a domain that spans cores

    constexpr uint64_t first_page() const { return round_down(address.raw, page_bytes); }

    constexpr uint64_t end_page() const { return round_up(address.raw + memory_bytes, page_bytes); }

    constexpr bool contains(VirtAddr at) const {
        return at >= address && at - address < memory_bytes;
    }
};

/// Where the pages of a segment lie in `whole`, which begins on a page and contains its file: for
/// one that nobody ever writes and that looks in memory as it does there. It need not be copied.
inline std::optional<uint64_t> pages_in(Bytes whole, const Segment& s) {
    if (s.writable || s.shared || s.file.size() != s.memory_bytes) return std::nullopt;
    const uint64_t lead = s.address.raw - s.first_page();
    const auto at = static_cast<uint64_t>(s.file.data() - whole.data());
    if (at < lead || (at - lead) % page_bytes != 0) return std::nullopt;
    const uint64_t end = at - lead + s.end_page() - s.first_page();
    if (end > round_up(whole.size(), page_bytes)) return std::nullopt;
    return at - lead;
}

struct Section {
    VirtAddr address;
    uint64_t bytes{};
    Bytes file; // empty where the section occupies no file space (.bss)
};

struct Symbol {
    std::string_view name;
    uint64_t offset{}; // of the address asked for, from the start of the function
};

/// Half-open; segments must lie inside.
struct Limits {
    VirtAddr begin, end;
};

class Image {
  public:
    static constexpr size_t max_segments = 16;

    /// Errors: elf_format; unsupported (needs a dynamic linker or thread-local storage);
    /// elf_bounds; elf_overlap (sharing a page counts: each has its own protection);
    /// elf_writable_code; elf_entry; no_space (over max_segments).
    static Result<Image> parse(Bytes file, Limits limits) {
        Image image{file};
        TRY_VOID(image.read_header());
        for (uint64_t i = 0; i < image.header_.program_header_count; ++i) {
            const ProgramHeader header = TRY(image.program_header(i));
            TRY_VOID(image.add(header, limits));
        }
        TRY_VOID(image.check_entry());
        return image;
    }

    VirtAddr entry() const { return virt(header_.entry); }

    std::span<const Segment> segments() const { return std::span{segments_}.first(count_); }

    /// Errors: not_found; elf_format (a section table or the section leaves the file).
    Result<Section> section(std::string_view name) const {
        const SectionHeader names = TRY(section_header(header_.section_names));
        const Bytes text = TRY(contents(names));
        for (uint64_t i = 0; i < header_.section_header_count; ++i) {
            const SectionHeader header = TRY(section_header(i));
            if (string_at(text, header.name) != name) continue;
            const Bytes data = header.type == type_nobits ? Bytes{} : TRY(contents(header));
            return Section{virt(header.address), header.bytes, data};
        }
        return fail(Err::not_found);
    }

    /// The function around `address` by .symtab; nothing when the table is missing or broken.
    std::optional<Symbol> symbol(VirtAddr address) const {
        for (uint64_t i = 0; i < header_.section_header_count; ++i) {
            const auto table = section_header(i);
            if (!table || table->type != type_symbols) continue;
            return symbol_in(*table, address);
        }
        return std::nullopt;
    }

  private:
    static constexpr uint32_t type_load = 1, type_dynamic = 2, type_interpreter = 3, type_tls = 7;
    static constexpr uint32_t flag_executable = 1, flag_writable = 2;
    static constexpr uint32_t flag_shared = 0x0010'0000; // one of the system's own (PF_MASKOS)
    static constexpr uint32_t type_symbols = 2, type_nobits = 8;
    static constexpr uint8_t function_symbol = 2;
    static constexpr size_t longest_name = 512;

    explicit Image(Bytes file) : file_{file} {}

    Result<Bytes> part(uint64_t offset, uint64_t bytes, Err error) const {
        if (offset > file_.size() || bytes > file_.size() - offset) return fail(error);
        return file_.subspan(offset, bytes);
    }

    template <class T>
    Result<T> record(uint64_t table, uint64_t index) const {
        uint64_t offset{}; // index < 2^16 in every caller's table of headers, but not of symbols
        if (__builtin_mul_overflow(index, sizeof(T), &offset)) return fail(Err::elf_format);
        if (__builtin_add_overflow(table, offset, &offset)) return fail(Err::elf_format);
        Bytes bytes = TRY(part(offset, sizeof(T), Err::elf_format));
        return peel<T>(bytes);
    }

    Result<ProgramHeader> program_header(uint64_t index) const {
        return record<ProgramHeader>(header_.program_headers, index);
    }

    Result<SectionHeader> section_header(uint64_t index) const {
        if (index >= header_.section_header_count) return fail(Err::not_found);
        return record<SectionHeader>(header_.section_headers, index);
    }

    Result<Bytes> contents(const SectionHeader& section) const {
        return part(section.offset, section.bytes, Err::elf_format);
    }

    Result<> read_header() {
        header_ = TRY(record<FileHeader>(0, 0));
        // Magic, 64 bit, little-endian, version 1; then an executable for x86-64.
        constexpr std::array<uint8_t, 7> ident{0x7f, 'E', 'L', 'F', 2, 1, 1};
        const bool ours = std::ranges::equal(std::span{header_.ident}.first<7>(), ident) &&
                          header_.type == 2 && header_.machine == 62 && header_.version == 1;
        if (!ours) return fail(Err::elf_format);
        if (header_.program_header_bytes != sizeof(ProgramHeader)) return fail(Err::elf_format);
        if (header_.section_header_bytes != sizeof(SectionHeader)) header_.section_header_count = 0;
        return {};
    }

    Result<> add(const ProgramHeader& header, Limits limits) {
        if (header.type == type_dynamic || header.type == type_interpreter ||
            header.type == type_tls)
            return fail(Err::unsupported);
        if (header.type != type_load || header.memory_bytes == 0) return {};
        if (count_ == max_segments) return fail(Err::no_space);
        const Segment segment = TRY(checked(header, limits));
        for (const Segment& other : segments())
            if (segment.first_page() < other.end_page() && other.first_page() < segment.end_page())
                return fail(Err::elf_overlap);
        segments_[count_++] = segment;
        return {};
    }

    Result<Segment> checked(const ProgramHeader& header, Limits limits) const {
        const VirtAddr at = virt(header.virtual_address);
        if (at < limits.begin || at >= limits.end) return fail(Err::elf_bounds);
        // Rounding the end up to a page must not leave the limits either, nor wrap.
        const uint64_t room = round_down(limits.end.raw, page_bytes) - at.raw;
        if (at.raw >= round_down(limits.end.raw, page_bytes) || header.memory_bytes > room)
            return fail(Err::elf_bounds);
        if (round_down(at.raw, page_bytes) < limits.begin.raw) return fail(Err::elf_bounds);
        if (header.file_bytes > header.memory_bytes) return fail(Err::elf_bounds);
        const bool writable = (header.flags & flag_writable) != 0;
        const bool executable = (header.flags & flag_executable) != 0;
        if (writable && executable) return fail(Err::elf_writable_code);
        const Bytes file = TRY(part(header.offset, header.file_bytes, Err::elf_bounds));
        const bool shared = (header.flags & flag_shared) != 0;
        return Segment{at, header.memory_bytes, file, writable, executable, shared};
    }

    Result<> check_entry() const {
        for (const Segment& segment : segments())
            if (segment.executable && segment.contains(entry())) return {};
        return fail(Err::elf_entry);
    }

    /// Empty when the string does not end inside the table (or is absurdly long).
    static std::string_view string_at(Bytes table, uint64_t offset) {
        if (offset >= table.size()) return {};
        const Bytes rest = table.subspan(offset);
        const size_t longest = std::min(rest.size(), longest_name);
        for (size_t i = 0; i < longest; ++i)
            if (rest[i] == std::byte{0})
                return {static_cast<const char*>(static_cast<const void*>(rest.data())), i};
        return {};
    }

    std::optional<Symbol> symbol_in(const SectionHeader& table, VirtAddr address) const {
        const auto entries = contents(table);
        const auto names_header = section_header(table.link);
        if (!entries || !names_header) return std::nullopt;
        const auto names = contents(*names_header);
        if (!names) return std::nullopt;
        std::optional<Symbol> best;
        for (Bytes rest = *entries; rest.size() >= sizeof(SymbolEntry);) {
            const SymbolEntry entry = *peel<SymbolEntry>(rest);
            if ((entry.info & 0xf) != function_symbol || entry.value > address.raw) continue;
            const uint64_t offset = address.raw - entry.value;
            // Functions written in assembly often have no size: the nearest one below counts.
            if (entry.bytes != 0 && offset >= entry.bytes) continue;
            if (best && best->offset <= offset) continue;
            best = Symbol{string_at(*names, entry.name), offset};
        }
        return best;
    }

    Bytes file_;
    FileHeader header_{};
    std::array<Segment, max_segments> segments_{};
    size_t count_{};
};

} // namespace elf
