#include "lib/os/loader.hpp"

#include <algorithm>
#include <optional>

#include "lib/os/address_space.hpp"
#include "lib/os/foreign_leaf.hpp"
#include "lib/os/instructions.hpp"

namespace os {
namespace {

// Indices in the second leaf, which holds what the domain itself never asks for. Index 0 is its
// own capability, as in every leaf but the first (place_of).
constexpr uint32_t page_frame_index = 1, image_frame_index = 2, first_loose_index = 3;
static_assert(abi::image_slot == abi::slot_at(1, image_frame_index));

Result<abi::Name> name_of(std::string_view text) {
    abi::Name name;
    if (text.empty() || text.size() > abi::name_bytes) return fail(Err::name_too_long);
    std::ranges::copy(text, name.text.begin());
    return name;
}

/// What stands from `begin` to the next NUL.
std::string_view text_of(std::span<const char> all, size_t begin) {
    const std::string_view rest{all.data() + begin, all.size() - begin};
    return first_of(rest, index_of(rest, '\0'));
}

} // namespace

class Builder final : public PagingSource {
  public:
    explicit Builder(Launch& launch) : launch_{launch} {}

    Result<Child> run() {
        const elf::Image image = TRY(elf::Image::parse(launch_.image, image_limits));
        const abi::Name name = TRY(name_of(launch_.name));
        const Description ram = TRY(describe(launch_.ram));
        base_ = ram.base;
        quota_ = ram.bytes;
        TRY_VOID(make_quota());
        TRY_VOID(make_cnodes());
        TRY_VOID(hand_over_quota());
        TRY_VOID(make_objects());
        TRY_VOID(fill_well_known());
        TRY_VOID(load(image));
        TRY_VOID(map_pages());
        return finish(image, name);
    }

  private:
    /// The next `bytes` of the quota.
    Result<uint64_t> take(uint64_t bytes) {
        if (bytes > quota_ - used_) return fail(Err::quota);
        return std::exchange(used_, used_ + bytes);
    }

    Result<> make(Place to, Kind kind, uint64_t bytes) {
        const uint64_t offset = TRY(take(bytes));
        return CNode{{to.cnode}}.retype(to.index, source_, kind, offset, bytes);
    }

    /// Made of the RAM, not a copy of it: whatever the child revokes, the RAM stays with its
    /// parent.
    Result<> make_quota() {
        const CapSlot slot = TRY(slots().take());
        const Place at = place_of(slot);
        const auto made = CNode{{at.cnode}}.retype(at.index, launch_.ram, Kind::ram, 0, quota_);
        if (!made) {
            slots().release(slot);
            return made;
        }
        ram_ = OwnedCap{slot};
        source_ = slot;
        return {};
    }

    Result<> hand_over_quota() {
        TRY_VOID(move_to(first_.cnode(), abi::slot::quota, ram_));
        source_ = first_.at(abi::slot::quota);
        return {};
    }

    Result<OwnedCap> make_cnode() {
        const CapSlot slot = TRY(slots().take());
        const auto made = make(place_of(slot), Kind::cnode, abi::bytes_of(Kind::cnode));
        if (!made) {
            slots().release(slot);
            return fail(made.error());
        }
        return OwnedCap{slot};
    }

    Result<> make_cnodes() {
        root_ = TRY(make_cnode());
        leaf_ = TRY(make_cnode());
        loose_ = TRY(make_cnode());
        const CNode root{{root_.slot()}};
        TRY_VOID(root.copy(0, leaf_.slot()));
        TRY_VOID(root.copy(1, loose_.slot()));
        TRY_VOID(first_.open(leaf_.slot()));
        TRY_VOID(second_.open(loose_.slot()));
        TRY_VOID(second_.take(loose_));
        paging_.emplace(first_.at(abi::slot::address_space), *this, tables_);
        return {};
    }

    Result<> make_objects() {
        using abi::bytes_of;
        TRY_VOID(
            make(first_.place(abi::slot::dispatcher), Kind::dispatcher, bytes_of(Kind::dispatcher))
        );
        TRY_VOID(make(
            first_.place(abi::slot::address_space),
            Kind::address_space,
            bytes_of(Kind::address_space)
        ));
        return make(second_.place(page_frame_index), Kind::frame, page_bytes);
    }

    Result<> fill_well_known() {
        if (!launch_.monitor.is_null())
            TRY_VOID(move_to(first_.cnode(), abi::slot::monitor, launch_.monitor));
        if (launch_.memory != abi::null_slot)
            TRY_VOID(first_.cnode().copy(abi::slot::memory, launch_.memory));
        TRY_VOID(self().make_endpoint(first_.place(abi::slot::parent), launch_.badge));
        const Dispatcher dispatcher{{first_.at(abi::slot::dispatcher)}};
        return dispatcher.make_doorbell(
            first_.place(abi::slot::self_doorbell), abi::event_channels
        );
    }

    /// A replica gets the pages of the others from its home.
    bool is_loaded(const elf::Segment& s) const { return launch_.replica == 0 || !s.shared; }

    /// Where it is mapped from, if not from a copy.
    std::optional<uint64_t> pages_of(const elf::Segment& s) const {
        if (launch_.bundle_frame == abi::null_slot) return std::nullopt;
        return elf::pages_in(launch_.bundle, s);
    }

    bool is_copied(const elf::Segment& s) const { return is_loaded(s) && !pages_of(s); }

    Result<> load(const elf::Image& image) {
        uint64_t bytes = page_bytes;
        for (const elf::Segment& s : image.segments())
            if (is_copied(s)) bytes += s.end_page() - s.first_page();
        TRY_VOID(make(second_.place(image_frame_index), Kind::frame, bytes + stack_bytes));
        TRY_VOID(copy_segments(image, bytes));
        uint64_t offset = page_bytes;
        for (const elf::Segment& s : image.segments()) {
            if (!is_loaded(s)) {
                TRY_VOID(make_tables(s));
                continue;
            }
            const Rights rights = abi::read | (s.writable ? abi::write : abi::no_rights) |
                                  (s.executable ? abi::execute : abi::no_rights);
            const uint64_t part = s.end_page() - s.first_page();
            if (const auto from = pages_of(s)) {
                TRY_VOID(map_frame(virt(s.first_page()), launch_.bundle_frame, *from, part, rights)
                );
                continue;
            }
            TRY_VOID(map(virt(s.first_page()), image_frame_index, offset, part, rights));
            if (s.shared) shared_ = {s.first_page(), part, offset};
            offset += part;
        }
        const VirtAddr stack = virt(abi::stack_top.raw - stack_bytes);
        return map(stack, image_frame_index, offset, stack_bytes, abi::read | abi::write);
    }

    /// For pages that a replica maps itself.
    Result<> make_tables(const elf::Segment& s) {
        shared_ = {s.first_page(), s.end_page() - s.first_page(), 0};
        const uint64_t first = round_down(s.first_page(), large_page_bytes);
        for (uint64_t at = first; at < s.end_page(); at += large_page_bytes) {
            const uint64_t index = (at - first) / large_page_bytes;
            if (index >= shared_tables_.size()) return fail(Err::no_space);
            // Seen from inside: the second leaf is the replica's leaf 1.
            const CapSlot made = TRY(paging_->table(1, virt(at)));
            shared_tables_[index] = abi::slot_at(1, made.raw % abi::cnode_slots).raw;
        }
        return {};
    }

    Result<> copy_segments(const elf::Image& image, uint64_t bytes) {
        writable_ =
            TRY(View::make(second_.at(image_frame_index), 0, bytes, abi::read | abi::write));
        uint64_t offset = page_bytes;
        for (const elf::Segment& s : image.segments()) {
            if (!is_copied(s)) continue;
            const uint64_t lead = s.address.raw - s.first_page();
            const MutableBytes into = writable_.span().subspan(offset + lead, s.file.size());
            std::copy_n(s.file.data(), s.file.size(), into.data()); // becomes memmove
            offset += s.end_page() - s.first_page();
        }
        return {};
    }

    Result<> map_pages() {
        TRY_VOID(
            map(abi::dispatcher_page_at, page_frame_index, 0, page_bytes, abi::read | abi::write)
        );
        return map(abi::arguments_at, image_frame_index, 0, page_bytes, abi::read);
    }

    Result<> map(VirtAddr at, uint32_t index, uint64_t offset, uint64_t bytes, Rights rights) {
        return map_frame(at, second_.at(index), offset, bytes, rights);
    }

    Result<> map_frame(VirtAddr at, CapSlot frame, uint64_t offset, uint64_t bytes, Rights rights) {
        return paging_->map(at, {frame, offset, bytes, rights}, [](CapSlot, uint64_t, uint64_t) {});
    }

    Result<Child> finish(const elf::Image& image, const abi::Name& name) {
        Child child;
        child.entry_ = image.entry();
        child.dispatcher_ = OwnedCap{TRY(slots().copy(first_.at(abi::slot::dispatcher)))};
        TRY_VOID(child.dispatcher().configure(
            root_.slot(),
            first_.at(abi::slot::address_space),
            second_.at(page_frame_index),
            abi::dispatcher_page_at,
            launch_.priority,
            launch_.fault_bell
        ));
        TRY_VOID(move_to(first_.cnode(), abi::slot::root, root_));
        child.writable_ = std::move(writable_);
        write_arguments(**child.page(), name);
        child.leaf_ = std::move(leaf_);
        return child;
    }

    void write_arguments(abi::ArgumentPage& page, const abi::Name& name) const {
        page.magic = abi::argument_magic;
        page.domain = name;
        page.core = launch_.core.raw;
        page.core_count = launch_.core_count;
        page.quota_bytes = quota_;
        page.quota_used = used_;
        page.quota_base = base_;
        page.free_leafs = 2;
        page.replica = launch_.replica;
        page.shared_begin = shared_.begin;
        page.shared_bytes = shared_.bytes;
        page.shared_offset = shared_.offset;
        page.shared_tables = shared_tables_;
        page.unix_time = launch_.unix_time;
        const size_t n = std::min(launch_.command_line.size(), page.command_line.size() - 1);
        std::copy_n(launch_.command_line.begin(), n, page.command_line.begin());
    }

    // PagingSource: tables and mappings lie in the child's second leaf.

    Result<CapSlot> next_loose() {
        if (next_loose_ == abi::cnode_slots) return fail(Err::no_slots);
        return second_.at(next_loose_++);
    }

    Result<CapSlot> make_table(Kind kind) override {
        const CapSlot slot = TRY(next_loose());
        TRY_VOID(make(place(slot), kind, abi::bytes_of(kind)));
        return slot;
    }

    Result<CapSlot> mapping_slot() override { return next_loose(); }

    void drop_mapping_slot(CapSlot) override {} // the build fails and everything goes

    Place place(CapSlot slot) const override { return second_.place(slot.raw % abi::cnode_slots); }

    struct Shared {
        uint64_t begin, bytes, offset;
    };

    Launch& launch_;
    uint64_t base_{}, quota_{}, used_{};
    Shared shared_{};
    std::array<uint32_t, 4> shared_tables_{};
    OwnedCap ram_; // until the child has a place for it
    CapSlot source_{};
    OwnedCap root_, leaf_, loose_;
    ForeignLeaf first_, second_;
    View writable_;
    uint32_t next_loose_{first_loose_index};
    std::array<TableRecord, 24> tables_{};
    std::optional<Paging> paging_; // once it is known where the child's root table is seen
};

Result<Child> Child::build(Launch launch) {
    Builder builder{launch};
    return builder.run();
}

Result<abi::ArgumentPage*> Child::page() {
    if (writable_.bytes() == 0) return fail(Err::bad_state);
    return writable_.as<abi::ArgumentPage>();
}

Result<> Child::add_argument(std::string_view text) {
    auto& arguments = TRY(page())->arguments;
    const auto end = std::ranges::find(arguments, '\0');
    if (text.size() >= static_cast<size_t>(arguments.end() - end)) return fail(Err::no_space);
    std::ranges::copy(text, end);
    return {};
}

Result<> Child::add_variable(std::string_view text) {
    auto& all = TRY(page())->environment;
    if (index_of(text, '=') == 0 || index_of(text, '=') == text.size())
        return fail(Err::bad_argument);
    size_t end = 0;
    while (all[end] != '\0')
        end += text_of(all, end).size() + 1;
    // Its own NUL, and the one that ends them all.
    if (text.size() + 2 > all.size() - end) return fail(Err::no_space);
    std::ranges::copy(text, all.begin() + static_cast<ptrdiff_t>(end));
    return {};
}

template <class Put>
Result<> Child::give_next(std::string_view name, Put&& put) {
    abi::ArgumentPage& page_ = *TRY(page());
    const abi::Name label = TRY(name_of(name));
    if (page_.given_count == page_.given.size()) return fail(Err::no_slots);
    const auto index = static_cast<uint32_t>(abi::slot::given + page_.given_count);
    TRY_VOID(put(CNode{{leaf_.slot()}}, index));
    page_.given[page_.given_count++] = {label, abi::slot_at(0, index).raw, 0};
    return {};
}

Result<> Child::give(std::string_view name, CapSlot what) {
    return give_next(name, [&](CNode leaf, uint32_t index) {
        const auto copied = leaf.copy(index, what);
        const bool may_not = !copied && copied.error().top() == Err::cap_rights;
        return may_not ? leaf.move(index, what) : copied;
    });
}

Result<> Child::give(std::string_view name, OwnedCap what) {
    return give_next(name, [&](CNode leaf, uint32_t index) { return move_to(leaf, index, what); });
}

Result<> Child::start() {
    TRY_VOID(page());
    TRY_VOID(move_to({{leaf_.slot()}}, abi::slot::leaf, leaf_));
    writable_ = View{};
    return dispatcher().start(entry_, abi::stack_top, abi::dispatcher_page_at.raw);
}

Result<> zero_ram(CapSlot ram) {
    const Description what = TRY(describe(ram));
    const OwnedCap frame = TRY(part_of(ram, Kind::frame, 0, what.bytes));
    const View view = TRY(View::make(frame.slot(), 0, what.bytes, abi::read | abi::write));
    fill_words(view.span().data(), 0, view.bytes() / sizeof(uint64_t));
    return {};
}

} // namespace os
