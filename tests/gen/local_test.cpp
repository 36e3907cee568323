// A local interface from its .if file to a call that arrives: encode, dispatch, decode, and what a
// hostile caller can send.
#include <gtest/gtest.h>

#include <vector>

#include "interfaces/memory.hpp"
#include "interfaces/monitor.hpp"

namespace {

namespace memory = interfaces::memory;

struct MemoryServer {
    Result<memory::AllocateResult> allocate(uint64_t badge, const memory::AllocateArguments& a) {
        last_badge = badge;
        if (a.bytes < 4096) return fail(Err::bad_argument);
        return memory::AllocateResult{abi::CapSlot{{77}}};
    }

    Result<memory::AllocateDirtyResult>
    allocate_dirty(uint64_t, const memory::AllocateDirtyArguments&) {
        return fail(Err::no_memory);
    }

    Result<memory::AllocateWithinResult>
    allocate_within(uint64_t, const memory::AllocateWithinArguments&) {
        return fail(Err::no_memory);
    }

    Result<memory::SpareResult> spare(uint64_t) { return fail(Err::not_found); }

    Result<> release(uint64_t, const memory::ReleaseArguments& a) {
        released.push_back(a.ram.raw);
        return {};
    }

    Result<memory::StateResult> state(uint64_t) { return memory::StateResult{1, 2, 3, 4, ~0ull}; }

    Result<> add(uint64_t, const memory::AddArguments&) { return fail(Err::no_slots); }

    void discard(abi::CapSlot slot) { discarded.push_back(slot.raw); }

    uint64_t last_badge{};
    std::vector<uint32_t> released, discarded;
};

class Wire : public rpc::LocalEndpoint {
  public:
    explicit Wire(MemoryServer& server) : server_{server} {}

    Result<rpc::LocalMessage> call(const rpc::LocalMessage& message) override {
        last = memory::serve(server_, 9, message);
        return last;
    }

    rpc::LocalMessage last;

  private:
    MemoryServer& server_;
};

struct LocalCall : testing::Test {
    MemoryServer server;
    Wire wire{server};
    memory::Client client{wire};
};

TEST_F(LocalCall, BringsTheCapabilityOfTheResult) {
    auto got = client.allocate(8192);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->ram.raw, 77u);
    EXPECT_TRUE(wire.last.give);
    EXPECT_EQ(server.last_badge, 9u);
}

TEST_F(LocalCall, BringsTheServersError) {
    EXPECT_EQ(client.allocate(1).error(), Err::bad_argument);
    EXPECT_EQ(client.add(abi::CapSlot{{5}}, true).error(), Err::no_slots);
}

TEST_F(LocalCall, CarriesFiveWordsOfResult) {
    auto got = client.state();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->total, 1u);
    EXPECT_EQ(got->damaged, ~0ull);
}

TEST_F(LocalCall, RefusesACallWithoutItsCapability) {
    EXPECT_EQ(client.release(abi::null_slot).error(), Err::cap_empty);
    EXPECT_TRUE(server.released.empty());
}

TEST_F(LocalCall, DiscardsACapabilityNobodyAskedFor) {
    rpc::LocalMessage message;
    message.words[0] = uint64_t(memory::Number::state);
    message.cap = abi::CapSlot{{40}};
    EXPECT_EQ(memory::serve(server, 1, message).words[0], 0u);
    message.words[0] = 99;
    EXPECT_NE(memory::serve(server, 1, message).words[0], 0u);
    EXPECT_EQ(server.discarded, (std::vector<uint32_t>{40, 40}));
}

TEST(Decoder, RefusesAnEnumeratorThatIsNone) {
    std::array<std::byte, 40> bytes{};
    bytes[0] = std::byte{99};
    EXPECT_EQ(interfaces::monitor::NextResult::decode(bytes).error(), Err::malformed);
}

TEST(Decoder, RefusesABoolThatIsNeither) {
    std::array<std::byte, 40> bytes{};
    bytes[16] = std::byte{2};
    EXPECT_EQ(interfaces::monitor::BindArguments::decode(bytes).error(), Err::malformed);
}

TEST(Decoder, RefusesWhatEndsEarly) {
    std::array<std::byte, 4> bytes{};
    EXPECT_EQ(interfaces::memory::StateResult::decode(bytes).error(), Err::malformed);
}

} // namespace
