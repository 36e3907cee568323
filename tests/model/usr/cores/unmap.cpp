#include <new>

#include "lib/async/frame_pool.hpp"
#include "lib/os/group.hpp"
#include "lib/os/model.hpp"
#include "tests/model/usr/cores/session.hpp"

namespace spanning {
namespace {

using group::Shape;

constexpr uint32_t samples = 5;
constexpr uint64_t settle_cycles = 40'000; // until those who sleep do
constexpr uint32_t poll_turns = 10'000'000;
constexpr uint32_t flows = 0xf100; // those of the model's option `flow`

void settle() {
    for (const uint64_t begun = os::read_tsc(); os::read_tsc() - begun < settle_cycles;)
        __builtin_ia32_pause();
}

/// The first sample fills the caches for the others.
void begin(Session& session, uint32_t sample) {
    if (sample == 0)
        session.team.align();
    else
        session.team.barrier.wait();
}

/// Takes the page away; the others sleep meanwhile, or look for its end with a loop that rests.
struct Unmap {
    void take(Session& session, uint32_t self, bool others_sleep) {
        const uint32_t first_flow = flows + (others_sleep ? 0 : samples + 1);
        std::array<uint64_t, samples> taken{};
        uint64_t messages = 0;
        for (uint32_t i = 0; i <= samples; ++i) {
            if (self == 0) {
                const auto page = os::map_shared(page_bytes);
                INVARIANT(page.has_value(), "the quota has room for a page");
                session.page = *page;
            }
            session.team.barrier.wait();
            session.page[self] = std::byte{1};
            begin(session, i);
            ++pages;
            if (self == 0) {
                settle();
                const uint64_t begun = os::read_tsc();
                const bool gone = unmap(session.page, first_flow + i);
                if (i > 0) taken[i - 1] = os::read_tsc() - begun;
                INVARIANT(gone, "it was mapped");
                messages = os::messages_of_last_cut().value_or(0);
                // release: the page is gone for all
                session.gone.store(pages, std::memory_order_release);
            } else if (!others_sleep) {
                while (!experiments::comes_to(session.gone, pages))
                    os::scheduler().rest();
            }
            session.team.barrier.wait();
        }
        if (self != 0) return;
        std::ranges::sort(taken);
        const auto way = std::string_view{others_sleep ? "asleep" : "polling"};
        session.add({way, samples, taken[samples / 2], messages, {}, {}, first_flow + 1});
    }

    /// By a flow of its own: whatever is said because of it bears that number.
    static bool unmap(MutableBytes pages, uint32_t number) {
        const async::UseFlow flow{static_cast<uint16_t>(number)};
        os::model::note("unmap begins", number);
        const bool gone = os::unmap_shared(pages).has_value();
        os::model::note("unmap ends", number);
        return gone;
    }

    uint64_t pages{};
};

/// A word to all, and an acknowledgement of all, with nothing else in it.
void multicast(Session& session, os::GroupLines& lines, Shape shape, std::string_view way) {
    const uint32_t members = session.team.members;

    struct Team {
        Team(os::GroupLines& lines, uint32_t members, Shape shape)
            : costs{group::CostTable::unknown(members)},
              group{lines, {members, costs, shape, std::span{slots}.first(members)}} {}

        group::CostTable costs;
        std::array<group::Member::Slot, os::GroupLines::most> slots;
        os::Group group;
    };

    Team* const team = new (std::nothrow) Team{lines, members, shape}; // too large for a stack
    INVARIANT(team != nullptr, "the quota has room for it");
    std::array<uint64_t, samples> taken{};
    uint64_t messages = 0;
    for (uint32_t i = 0; i <= samples; ++i) {
        begin(session, i);
        const bool root = lines.self() == group::MemberId{};
        if (root) settle();
        const uint64_t begun = os::read_tsc(), sent = lines.sent(), mine = 1;
        uint64_t word = 1;
        team->group.broadcast({}, {&word, 1});
        (void)team->group.collect({}, group::Combine::any, {&mine, 1});
        if (root && i > 0) taken[i - 1] = os::read_tsc() - begun;
        messages = lines.sent() - sent;
        session.team.barrier.wait();
    }
    std::ranges::sort(taken);
    if (lines.self() == group::MemberId{})
        session.add({way, samples, taken[samples / 2], messages});
    delete team;
}

} // namespace

void measure_unmap(Session& session, MutableBytes memory, uint32_t self) {
    auto* const lines = new (std::nothrow)
        os::GroupLines{memory, group::member(self), session.team.members, poll_turns};
    INVARIANT(lines != nullptr, "the quota has room for it");
    Unmap unmap;
    unmap.take(session, self, true);
    unmap.take(session, self, false);
    multicast(session, *lines, Shape::flat, "multicast_flat");
    multicast(session, *lines, Shape::k_ary, "multicast_tree");
    delete lines;
}

} // namespace spanning
