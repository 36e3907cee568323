#include "tests/sim/services.hpp"

#include <algorithm>

#include "tests/sim/world.hpp"

namespace sim {

namespace {

void must(const Result<>& done, const char* what) {
    if (!done) throw Broken{std::string{what} + ": " + std::string{text_of(done.error().top())}};
}

Text<abi::name_bytes> label_name(uint32_t label) {
    std::array<char, abi::name_bytes> text{'r'};
    for (size_t i = 1; i < 8; ++i, label /= 16)
        text[i] = static_cast<char>('a' + label % 16);
    return Text<abi::name_bytes>::cut({text.data(), 8});
}

} // namespace

void MemoryServer::begin(World& world, Island& island) {
    world_ = &world;
    island_ = &island;
    island.memory_service = this;
    blocks_.fill({});
    expected_count_ = 0;
    const CapSlot region{{Actor::first_free}};
    const kernel::Slot& ram = island.memory.at(region);
    for (uint64_t at = 0; at < ram.bytes; at += large_page_bytes)
        blocks_[at / large_page_bytes] = {true, ram.base + at, region, at, 0};
}

rpc::LocalMessage MemoryServer::serve(uint64_t, const rpc::LocalMessage& message) {
    rpc::LocalMessage reply;
    if (message.words[0] == allocate) {
        const auto ram = carve();
        if (!ram) return rpc::refusal(ram.error());
        reply.cap = *ram;
        reply.give = true;
    } else if (const auto done = take_back(message.cap); !done) {
        return rpc::refusal(done.error());
    }
    return reply;
}

Result<CapSlot> MemoryServer::carve() {
    for (Block& block : blocks_) {
        if (!block.here || block.used == (1u << chunks) - 1) continue;
        const auto chunk = static_cast<unsigned>(std::countr_one(block.used));
        const CapSlot to = island_->memory.free_slot();
        if (to == abi::null_slot) return fail(Err::no_slots);
        const uint64_t offset = block.offset + chunk * quota_bytes;
        TRY_VOID(island_->memory.retype(block.region, Kind::ram, offset, quota_bytes, to));
        block.used |= 1u << chunk;
        return to;
    }
    return fail(Err::no_memory);
}

Result<> MemoryServer::take_back(CapSlot ram) {
    Actor& self = island_->memory;
    const uint64_t base = self.at(ram).base;
    const auto block = std::ranges::find_if(blocks_, [&](const Block& b) {
        return b.here && base >= b.base && base < b.base + large_page_bytes;
    });
    if (block == blocks_.end()) return fail(Err::not_found);
    TRY_VOID(self.revoke(ram));
    TRY_VOID(self.remove(ram));
    block->used &= ~(1u << (base - block->base) / quota_bytes);
    return {};
}

unsigned MemoryServer::free_blocks() const {
    const auto is_free = [](const Block& b) { return b.here && b.used == 0; };
    return static_cast<unsigned>(std::ranges::count_if(blocks_, is_free));
}

unsigned MemoryServer::used_chunks() const {
    unsigned sum = 0;
    for (const Block& b : blocks_)
        sum += static_cast<unsigned>(std::popcount(b.used));
    return sum;
}

bool MemoryServer::give_block(unsigned to) {
    if (to == island_->index || world_->island(to).dead || !has_room() ||
        !world_->memory(to).has_room())
        return false;
    return island_->as_memory([&] { return hand_block(to); });
}

bool MemoryServer::hand_block(unsigned to) {
    const auto block =
        std::ranges::find_if(blocks_, [](const Block& b) { return b.here && b.used == 0; });
    if (block == blocks_.end()) return false;
    Actor& self = island_->memory;
    CapSlot ram = block->region;
    const bool part = self.at(ram).bytes != large_page_bytes;
    if (part) {
        ram = self.free_slot();
        if (ram == abi::null_slot) return false;
        must(
            self.retype(block->region, Kind::ram, block->offset, large_page_bytes, ram),
            "cutting a block out"
        );
    }
    const uint32_t label = world_->new_label();
    Port port{*island_, self, {{abi::slot::monitor}}};
    const auto done = Monitor{port}.hand(core_id(to), label_name(label), ram);
    world_->note({
        .step = world_->now,
        .from = static_cast<int8_t>(island_->index),
        .what = "hands a block",
        .a = block->base,
        .b = to,
        .status = done ? Err::none : done.error().top(),
    });
    if (!done) {
        ++world_->tally.refused;
        if (part) must(self.remove(ram), "joining a block again");
        return true;
    }
    ++world_->tally.operations;
    forget(*block);
    // it may come back, if the other core cannot take it
    expect(label);
    world_->memory(to).expect(label);
    return true;
}

void MemoryServer::forget(Block& block) {
    block = {};
}

void MemoryServer::expect(uint32_t label) {
    expected_[expected_count_++] = {label};
}

void MemoryServer::expect_no_more(uint32_t label) {
    const auto end = expected_.begin() + expected_count_;
    const auto found = std::ranges::find(expected_.begin(), end, label, &Expected::label);
    if (found == end) return;
    *found = expected_[--expected_count_];
}

bool MemoryServer::fetch_blocks() {
    return expects_blocks() && island_->as_memory([&] { return fetch_one(); });
}

bool MemoryServer::fetch_one() {
    for (unsigned i = 0; i < expected_count_; ++i) {
        const uint32_t label = expected_[i].label;
        Port port{*island_, island_->memory, {{abi::slot::monitor}}};
        const auto got = Monitor{port}.fetch(label_name(label));
        if (!got) continue;
        for (unsigned core = 0; core < world_->cores(); ++core)
            world_->memory(core).expect_no_more(label);
        received(got->what);
        return true;
    }
    return false;
}

/// What a core that is gone has left, of any size.
void MemoryServer::inherits(CapSlot ram) {
    const kernel::Slot& what = island_->memory.at(ram);
    const uint64_t base = what.base, bytes = what.bytes;
    for (uint64_t at = 0; at < bytes; at += large_page_bytes) {
        const auto place = std::ranges::find(blocks_, false, &Block::here);
        if (place == blocks_.end()) throw Broken{"no room in the books for a block"};
        *place = {true, base + at, ram, at, 0};
    }
}

void MemoryServer::received(CapSlot ram) {
    Actor& self = island_->memory;
    const kernel::Slot& what = self.at(ram);
    const uint64_t base = what.base;
    if (what.kind != Kind::ram || what.bytes != large_page_bytes)
        throw Broken{"something else arrived than the RAM that was handed"};
    ++world_->tally.moves;
    world_->note({
        .step = world_->now,
        .from = static_cast<int8_t>(island_->index),
        .what = "has a block",
        .a = base,
    });
    const auto place = std::ranges::find(blocks_, false, &Block::here);
    if (place == blocks_.end()) throw Broken{"no room in the books for a block"};
    *place = {true, base, ram, 0, 0};
    // within RAM that is still ours: that covers it again
    for (uint32_t i = Actor::first_free; i < self.leafs * abi::cnode_slots; ++i) {
        const kernel::Slot& wide = self.at({{i}});
        if (wide.kind != Kind::ram || wide.bytes <= large_page_bytes || !wide.contains(what))
            continue;
        place->region = {{i}};
        place->offset = base - wide.base;
        must(self.remove(ram), "joining a block again");
        return;
    }
}

} // namespace sim
