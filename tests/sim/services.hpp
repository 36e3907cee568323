// The two services of a core that the protocols lean on: a memory server, which has the RAM and
// moves blocks of it to other cores, and a spawner, which makes domains and ends them in the order
// that docs/domains.md gives.
#pragma once

#include <array>

#include "tests/sim/domain.hpp"

namespace sim {

class World;

/// Blocks of 2 MiB, each divided into quotas; a block of which nothing is used can go elsewhere.
class MemoryServer final : public LocalService {
  public:
    static constexpr unsigned chunks = large_page_bytes / quota_bytes;
    static constexpr uint64_t allocate = 1, release = 2;

    void begin(World& world, Island& island);

    rpc::LocalMessage serve(uint64_t badge, const rpc::LocalMessage& message) override;

    /// Hands a free block to another core, if there is one.
    bool give_block(unsigned to);
    /// Fetches what has arrived for it.
    bool fetch_blocks();

    void inherits(CapSlot ram);

    bool expects_blocks() const { return expected_count_ != 0; }

    bool has_room() const { return expected_count_ < expected_.size(); }

    void expect(uint32_t label);
    void expect_no_more(uint32_t label);

    unsigned free_blocks() const;
    unsigned used_chunks() const;

  private:
    using Monitor = monitor::face::Client;

    struct Block {
        bool here{};
        uint64_t base{};
        CapSlot region{}; // the RAM capability that covers it
        uint64_t offset{};
        uint32_t used{}; // a bit a chunk
    };

    struct Expected {
        uint32_t label;
    };

    bool hand_block(unsigned to);
    bool fetch_one();
    Result<CapSlot> carve();
    Result<> take_back(CapSlot ram);
    void received(CapSlot ram);
    void forget(Block& block);

    World* world_{};
    Island* island_{};
    std::array<Block, 64> blocks_{};
    std::array<Expected, 32> expected_{};
    unsigned expected_count_{};
};

class Spawner {
  public:
    void begin(World& world, Island& island);

    /// Makes one more domain. Errors: those of memory and slots.
    Result<> spawn();
    /// One step of ending those who have to end; was there anything?
    bool step();
    /// From outside, or because it has exited.
    void kill(Domain& domain);

    unsigned children() const;

    /// Is a domain still being ended?
    bool waits() const;

  private:
    using Monitor = monitor::face::Client;
    enum class Phase : uint8_t { idle, stop, gone, revoke, asked, release };

    struct Ending {
        Phase phase{};
        Domain* domain{};
        uint32_t request{};
    };

    Result<> build(Domain& domain);
    bool go_on(Ending& ending);
    void take_notices();
    void finished(Ending& ending);

    World* world_{};
    Island* island_{};
    std::array<Ending, 8> endings_{};
};

} // namespace sim
