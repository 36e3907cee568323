// Operations on capabilities. The database is ordered by address; a second pass with 10,000 more
// entries shows how they grow with it.
#include "interfaces/memory.hpp"
#include "lib/os/local.hpp"
#include "lib/os/memory.hpp"
#include "usr/bench/figures.hpp"

namespace bench {
namespace {

constexpr uint64_t crowd = 10'000;
constexpr uint64_t crowd_cnodes = (crowd + abi::cnode_slots - 1) / abi::cnode_slots;
constexpr uint64_t block_bytes = 64 * 1024 * 1024; // more pages than the crowd has

struct Ids {
    std::string_view copy, remove, retype, retype_and_delete, revoke;
};

constexpr Ids few{"cap_copy", "cap_delete", "cap_retype", "cap_retype_delete", "cap_revoke"};
constexpr Ids many{
    "cap_copy_10k", "cap_delete_10k", "cap_retype_10k", "cap_retype_delete_10k", "cap_revoke_10k"
};

/// RAM of which pages from `offset` on are free.
struct Source {
    os::CapSlot ram;
    uint64_t offset;
};

/// One frame of this domain's.
class Alone {
  public:
    explicit Alone(os::CapSlot frame) : frame_{frame} {}

    os::CapSlot frame() const { return frame_; }

    void revoke() const {
        const os::Place at = os::place_of(frame_);
        (void)os::CNode{{at.cnode}}.revoke(at.index);
    }

    void move() const {}

  private:
    os::CapSlot frame_;
};

/// CNodes full of frames; one of them at a time is in our capability space.
class Crowd {
  public:
    Result<> gather(os::CapSlot ram) {
        leaf_ = TRY(os::slots().take_leaf());
        for (uint64_t done = 0; done < crowd; done += abi::cnode_slots)
            TRY_VOID(fill(ram, done));
        move();
        return {};
    }

    /// Its CNodes go, and with them the frames.
    void scatter() {
        if (leaf_ == 0) return;
        (void)os::root_cnode().remove(leaf_);
        os::slots().release_leaf(leaf_);
        for (os::OwnedCap& cnode : cnodes_)
            cnode.reset();
    }

    os::CapSlot frame() const { return abi::slot_at(leaf_, index_); }

    void revoke() const { (void)os::CNode{{cnodes_[current_].slot()}}.revoke(index_); }

    /// To another one, anywhere in the order of addresses, but the same in every run.
    void move() {
        seed_ = seed_ * 6364136223846793005u + 1442695040888963407u;
        const uint64_t which = (seed_ >> 33) % crowd;
        current_ = which / abi::cnode_slots;
        index_ = static_cast<uint32_t>(which % abi::cnode_slots);
        (void)os::root_cnode().remove(leaf_);
        (void)os::root_cnode().copy(leaf_, cnodes_[current_].slot());
    }

  private:
    Result<> fill(os::CapSlot ram, uint64_t done) {
        const os::CapSlot slot = TRY(os::slots().take());
        const uint64_t bytes = abi::bytes_of(os::Kind::cnode);
        TRY(os::quota().make(os::place_of(slot), os::Kind::cnode, bytes));
        cnodes_[done / abi::cnode_slots] = os::OwnedCap{slot};
        const uint64_t count = std::min<uint64_t>(abi::cnode_slots, crowd - done);
        return os::CNode{{slot}
        }.retype(0, ram, os::Kind::frame, done * page_bytes, page_bytes, count);
    }

    std::array<os::OwnedCap, crowd_cnodes> cnodes_;
    uint32_t leaf_{}, index_{};
    size_t current_{};
    uint64_t seed_{1};
};

constinit os::Immortal<Crowd> the_crowd;

template <class Subject>
Result<> measure_all(Harness& harness, const Ids& ids, const Source& source, Subject& subject) {
    const os::CapSlot slot = TRY(os::slots().take());
    const os::Place spare = os::place_of(slot);
    const os::CNode cnode{{spare.cnode}};
    const auto copy = [&] { (void)cnode.copy(spare.index, subject.frame()); };
    const auto remove = [&] { (void)cnode.remove(spare.index); };
    harness.measure(ids.copy, copy, [&] {
        remove();
        subject.move();
    });
    copy();
    harness.measure(ids.remove, remove, [&] {
        subject.move();
        copy();
    });
    remove();
    uint64_t page = 0;
    const auto retype = [&] {
        const uint64_t offset = source.offset + page * page_bytes;
        (void)cnode.retype(spare.index, source.ram, os::Kind::frame, offset, page_bytes);
    };
    const auto next_page = [&] { page = (page + 1) % 8; };
    harness.measure(ids.retype, retype, [&] {
        remove();
        next_page();
    });
    const auto both = [&] {
        retype();
        remove();
    };
    harness.measure(ids.retype_and_delete, both, next_page);
    harness.measure(ids.revoke, [&] { subject.revoke(); }, [&] { subject.move(); });
    os::slots().release(slot);
    return {};
}

Result<> measure_few(Harness& harness) {
    const os::Frame frame = TRY(os::Frame::make(page_bytes));
    const os::Extent room = TRY(os::quota().take(8 * page_bytes));
    Alone alone{frame.slot()};
    const auto done = measure_all(harness, few, {os::quota().ram(), room.begin}, alone);
    os::quota().release(room);
    return done;
}

Result<> measure_many(Harness& harness, os::CapSlot memory) {
    const auto ids = {many.copy, many.remove, many.retype, many.retype_and_delete, many.revoke};
    const auto wants = [&](std::string_view id) { return harness.wants(id); };
    if (std::ranges::none_of(ids, wants)) return {};
    os::LocalClient<interfaces::memory::Client> server{memory};
    const os::CapSlot block = TRY(server->allocate_dirty(block_bytes)).ram;
    Crowd& all = the_crowd.make();
    auto done = all.gather(block);
    if (done) done = measure_all(harness, many, {block, crowd * page_bytes}, all);
    all.scatter();
    // The block stays ours: what was derived from it is gone.
    return done;
}

} // namespace

void measure_capabilities(Harness& harness, os::CapSlot memory) {
    tell(harness, "capabilities", measure_few(harness));
    tell(harness, "10,000 capabilities", measure_many(harness, memory));
}

} // namespace bench
