#include <string>

#include <gtest/gtest.h>

#include "drivers/serial/console.hpp"

using namespace serial;

namespace {

class ConsoleLines : public testing::Test {
  protected:
    std::string taken() {
        std::string text;
        while (const auto c = console.wire().take())
            text += *c;
        return text;
    }

    Console console;
    Console::Writer a, b, shell;
};

TEST_F(ConsoleLines, StayWhole) {
    console.write(a, "one ", false);
    console.write(b, "two\n", false);
    console.write(a, "three\nfo", false);
    EXPECT_EQ(taken(), "two\r\none three\r\n");
    console.write(a, "ur\n", false);
    EXPECT_EQ(taken(), "four\r\n");
}

TEST_F(ConsoleLines, PromptIsShownAtOnceAndAgainAfterOthersLines) {
    console.write(shell, "skerry> p", true);
    EXPECT_EQ(taken(), "skerry> p");
    console.write(shell, "x\b \bs", true);
    (void)taken();
    console.write(a, "hello\nworld\n", false);
    EXPECT_EQ(taken(), "\r          \rhello\r\nskerry> ps\r          \rworld\r\nskerry> ps");
    console.write(shell, "\nanswer\n", true);
    EXPECT_EQ(taken(), "\r\nanswer\r\n");
    console.write(a, "later\n", false);
    EXPECT_EQ(taken(), "later\r\n");
}

TEST_F(ConsoleLines, AreRememberedOnceAndAsTheyEnded) {
    console.write(shell, "skerry> px", true);
    console.write(a, "hello\n", false);
    console.write(shell, "\b \bs\n", true);
    std::array<char, 64> out;
    const size_t size = console.history().read(0, out);
    EXPECT_EQ((std::string_view{out.data(), size}), "hello\nskerry> ps\n");
}

TEST_F(ConsoleLines, ThatNeverEndAreCut) {
    console.write(a, std::string(3 * LineBuffer::bytes, 'x'), false);
    const std::string line = std::string(LineBuffer::bytes, 'x') + "\r\n";
    EXPECT_EQ(taken(), line + line + line);
}

TEST_F(ConsoleLines, AreEndedWhenTheWriterLeaves) {
    console.write(a, "half", false);
    console.end(a, false);
    EXPECT_EQ(taken(), "half\r\n");
    console.write(shell, "skerry> ", true);
    console.end(shell, true);
    EXPECT_EQ(taken(), "skerry> \r\n");
    console.write(a, "more\n", false);
    EXPECT_EQ(taken(), "more\r\n");
}

TEST_F(ConsoleLines, FillTheQueueAndNoMore) {
    for (int i = 0; i < 10'000; ++i)
        console.write(a, "0123456789\n", false);
    EXPECT_EQ(taken().size(), 16u * 1024);
    EXPECT_EQ(console.wire().lost(), 10'000u * 12 - 16 * 1024);
}

TEST(History, KeepsTheLastBytes) {
    History<8> history;
    for (char c : std::string_view{"abcdefghijk"})
        history.put(c);
    std::array<char, 16> out;
    EXPECT_EQ((std::string_view{out.data(), history.read(0, out)}), "defghijk");
    EXPECT_EQ((std::string_view{out.data(), history.read(6, out)}), "jk");
    EXPECT_EQ(history.read(8, out), 0u);
    EXPECT_EQ(history.read(~size_t{0}, out), 0u);
}

} // namespace
