#include "usr/httpd/pages.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace {

TEST(Overview, PutsEachDomainOnItsCore) {
    const std::array rows{
        http::DomainRow{1, "e1000", "running", 1234567, 42},
        http::DomainRow{0, "shell", "running", 7, 1},
    };
    std::array<char, 8192> room;
    const std::string page{http::write_overview({2, 61042, 3, rows}, room)};
    const size_t core1 = page.find("Core 1");
    EXPECT_LT(page.find("shell"), core1);
    EXPECT_GT(page.find("e1000"), core1);
    EXPECT_NE(page.find("1234.567 ms</td><td>42"), std::string::npos);
    EXPECT_NE(page.find("Up 61.042 s, 3 requests"), std::string::npos);
    EXPECT_TRUE(page.ends_with("</html>\n"));
}

TEST(Overview, NeverLetsANameBecomeMarkup) {
    const std::array rows{http::DomainRow{0, "<script>\"&", "faulted", 0, 0}};
    std::array<char, 8192> room;
    const std::string page{http::write_overview({1, 0, 0, rows}, room)};
    EXPECT_EQ(page.find("<script>"), std::string::npos);
    EXPECT_NE(page.find("&lt;script&gt;&quot;&amp; (faulted)"), std::string::npos);
}

TEST(Overview, IsCutToItsRoom) {
    std::array<char, 100> room;
    EXPECT_EQ(http::write_overview({1, 0, 0, {}}, room).size(), room.size());
}

} // namespace
