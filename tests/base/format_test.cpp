#include "lib/base/format.hpp"

#include <gtest/gtest.h>

#include <string>

#include "lib/base/log.hpp"

namespace {

template <class... Args>
std::string text(Format<Args...> format, const Args&... args) {
    std::array<char, 200> out;
    return std::string{format_to(out, format, args...)};
}

TEST(Format, WritesIntegersOfEveryKind) {
    EXPECT_EQ(text("{} {} {}", 0, -17, uint8_t{255}), "0 -17 255");
    EXPECT_EQ(text("{}", INT64_MIN), "-9223372036854775808");
    EXPECT_EQ(text("{}", UINT64_MAX), "18446744073709551615");
    EXPECT_EQ(text("{:x} {:02x}", 0xbeefu, uint8_t{7}), "beef 07");
}

TEST(Format, PadsToTheWidth) {
    EXPECT_EQ(text("{:>6}|{:<6}|{:6}", "ab", 12, 12), "    ab|12    |    12");
    EXPECT_EQ(text("{:06}", -12), "-00012") << "zeros go between sign and digits";
    EXPECT_EQ(text("{:*>5}{:.<5}", 1, "x"), "****1x....");
    EXPECT_EQ(text("{:2}", 12345), "12345") << "a width never cuts";
}

TEST(Format, KnowsTheWordsOfTheHouse) {
    EXPECT_EQ(text("{:x}", phys(0x1000)), "1000");
    EXPECT_EQ(text("core {}", CoreId{{3}}), "core 3");
    EXPECT_EQ(text("{} {}", true, false), "yes no");
    EXPECT_EQ(text("{}", milliseconds(12) + microseconds(345)), "0.012345");
    EXPECT_EQ(text("{}", Duration{-1'500'000'000}), "-1.500000");
    EXPECT_EQ(text("{}", 'x'), "x");
}

TEST(Format, SpellsAFaultFromTheOutsideIn) {
    const Fault fault = Fault{Err::truncated}.because(Err::elf_format);
    EXPECT_EQ(
        text("cannot start: {}", fault),
        "cannot start: the image is not an x86-64 ELF executable: the data ends too early"
    );
    EXPECT_EQ(text("{}", Err::no_memory), "out of memory");
}

TEST(Format, DoubledBracesAreBraces) {
    EXPECT_EQ(text("{{{}}}", 1), "{1}");
}

TEST(Format, CutsWhatDoesNotFitAndSaysSo) {
    std::array<char, 4> out;
    TextWriter writer{out};
    format(writer, "{}", 123456);
    EXPECT_EQ(writer.text(), "1234");
    EXPECT_TRUE(writer.truncated());
}

struct Point {
    int x, y;
};

void format_value(TextWriter& out, const Point& p) {
    format(out, "({}, {})", p.x, p.y);
}

TEST(Format, AsksATypeThatFormatsItself) {
    EXPECT_EQ(text("at {}", Point{1, -2}), "at (1, -2)");
}

struct Collector final : LogSink {
    void line(LogLevel level, std::string_view text) override {
        levels.push_back(level);
        lines.emplace_back(text);
    }

    std::vector<LogLevel> levels;
    std::vector<std::string> lines;
};

struct Log : testing::Test {
    Collector sink;

    void SetUp() override { log::set_sink(&sink); }

    void TearDown() override {
        log::set_sink(nullptr);
        log::set_level(LogLevel::info);
    }
};

TEST_F(Log, GivesTheSinkWhatItsLevelShows) {
    log::info("link {} {} Mb/s", "nic.0", 1000);
    log::trace("not shown");
    log::error("bad");
    EXPECT_EQ(sink.lines, (std::vector<std::string>{"link nic.0 1000 Mb/s", "bad"}));
    log::set_level(LogLevel::error);
    log::info("not shown either");
    EXPECT_EQ(sink.lines.size(), 2u);
}

TEST(LogLine, HasCoreSecondsAndDomainInFront) {
    std::array<char, 100> out;
    EXPECT_EQ(
        render_log_line(out, CoreId{{2}}, Instant{12'345'678}, "netd", "link up"),
        "[2 0.012345 netd] link up"
    );
}

} // namespace
