#include "lib/os/line_joiner.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace {

class LineJoinerTest : public testing::Test {
  protected:
    void add(std::string_view piece) { joiner.add(piece, sink); }

    os::LineJoiner joiner;
    std::vector<std::string> lines;
    std::function<void(std::string_view)> sink{[this](std::string_view l) { lines.emplace_back(l); }
    };
};

TEST_F(LineJoinerTest, JoinsPiecesUpToTheNewline) {
    add("one");
    add(" line\ntwo");
    EXPECT_EQ(lines, std::vector<std::string>{"one line"});
    joiner.flush(sink);
    joiner.flush(sink);
    EXPECT_EQ(lines, (std::vector<std::string>{"one line", "two"}));
}

TEST_F(LineJoinerTest, ShowsALongLineInParts) {
    add(std::string(os::LineJoiner::longest + 1, 'x'));
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0].size(), os::LineJoiner::longest);
    add("\n\n");
    EXPECT_EQ(lines.back(), "x");
    EXPECT_EQ(lines.size(), 2u) << "an empty line is no line";
}

} // namespace
