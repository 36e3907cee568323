// The fuzzers' kept inputs, run as tests: what was once interesting, or once went wrong.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/fuzz/kernel_inputs.hpp"

namespace {

template <class Run>
void run_corpus(const char* name, Run&& run) {
    const char* const elsewhere = std::getenv("SKERRY_CORPUS");
    const std::filesystem::path corpus{elsewhere == nullptr ? "tests/fuzz/corpus" : elsewhere};
    unsigned inputs = 0;
    uint64_t calls = 0;
    for (const auto& entry : std::filesystem::directory_iterator{corpus / name}) {
        std::ifstream file{entry.path(), std::ios::binary};
        const std::vector<char> bytes{std::istreambuf_iterator<char>{file}, {}};
        const auto* const data = reinterpret_cast<const uint8_t*>(bytes.data());
        const auto outcome = run(kernel_fuzz::Input{data, bytes.size()});
        EXPECT_EQ(outcome.trouble, "") << entry.path();
        calls += outcome.calls;
        ++inputs;
    }
    EXPECT_GT(inputs, 0u) << "run from the root of the tree";
    std::cout << name << ": " << inputs << " inputs, " << calls << " invocations\n";
}

TEST(Corpus, CallsLeaveEverythingThatAlwaysHoldsTrue) {
    run_corpus("kernel_calls", kernel_fuzz::run_calls);
}

TEST(Corpus, PagesAreNeverBelieved) {
    run_corpus("kernel_page", kernel_fuzz::run_page);
}

} // namespace
