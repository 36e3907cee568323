// Every generated decoder: with too little, with exactly enough, with anything; and the fuzzer's
// kept inputs.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/fuzz/judge_decoders.hpp"

namespace {

using decoders::Decoder, decoders::Outcome;

TEST(Decoders, AreThoseOfAllInterfaces) {
    size_t of_console = 0;
    for (const Decoder& decoder : decoders::all)
        of_console += decoder.interface == "console";
    EXPECT_GE(decoders::all.size(), 100u);
    EXPECT_GE(of_console, 4u);
}

TEST(Decoders, ReadZeroesOfTheFullLength) {
    const std::vector<std::byte> zeroes(2048);
    for (const Decoder& decoder : decoders::all)
        EXPECT_EQ(decoder.judge(Bytes{zeroes}.first(decoder.most)), Outcome::read)
            << decoder.interface << " " << decoder.type;
}

TEST(Decoders, RefuseNothingAtAll) {
    for (const Decoder& decoder : decoders::all) {
        if (decoder.most == 0) continue; // a capability beside a local message is no bytes
        EXPECT_EQ(decoder.judge({}), Outcome::refused) << decoder.interface << " " << decoder.type;
    }
}

TEST(Decoders, HoldWhateverTheBytes) {
    const uint32_t seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random{seed};
    std::vector<std::byte> bytes;
    size_t read = 0;
    for (const Decoder& decoder : decoders::all) {
        for (int round = 0; round < 200; ++round) {
            bytes.resize(random() % (decoder.most + 40));
            for (std::byte& b : bytes) // half of them small, as lengths and enumerators are
                b = static_cast<std::byte>(random() % 2 == 0 ? random() % 4 : random());
            const Outcome outcome = decoder.judge(bytes);
            ASSERT_NE(outcome, Outcome::broken) << decoder.interface << " " << decoder.type;
            read += outcome == Outcome::read;
        }
    }
    EXPECT_GT(read, 1000u) << "most inputs must not be refused at their length";
}

TEST(Decoders, HoldForTheKeptInputs) {
    unsigned inputs = 0;
    for (const auto& entry : std::filesystem::directory_iterator{"tests/fuzz/corpus/decoders"}) {
        std::ifstream file{entry.path(), std::ios::binary};
        const std::vector<char> bytes{std::istreambuf_iterator<char>{file}, {}};
        EXPECT_NE(decoders::judge_input(std::as_bytes(std::span{bytes})), Outcome::broken)
            << entry.path();
        ++inputs;
    }
    EXPECT_GT(inputs, 0u) << "run from the root of the tree";
}

} // namespace
