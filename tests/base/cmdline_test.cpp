#include "lib/base/cmdline.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

struct CmdlineTest : testing::Test {
    std::vector<std::string> problems;

    Cmdline parse(std::string_view line) {
        return Cmdline::parse(line, [&](Cmdline::Problem p) {
            problems.push_back(
                (p.trouble == Cmdline::Trouble::unknown_key ? "unknown " : "bad ") +
                std::string{p.key}
            );
        });
    }
};

TEST_F(CmdlineTest, ReadsEveryKey) {
    const auto c =
        parse("ip=10.77.0.2/24 gw=10.77.0.1 test=1 place=netd:2,httpd:3 "
              "count=echo:10:100 seed=0x2a log=trace tsc_khz=2100000 poll=0 start=serial\n");
    EXPECT_EQ(c.ip, (Ipv4Prefix{0x0a4d0002, 24}));
    EXPECT_EQ(c.gateway, 0x0a4d0001u);
    EXPECT_TRUE(c.test);
    EXPECT_EQ(c.core_for("httpd"), CoreId{{3}});
    EXPECT_EQ(c.core_for("http"), std::nullopt);
    EXPECT_EQ(c.count, "echo:10:100");
    EXPECT_EQ(c.seed, 42u);
    EXPECT_EQ(c.log_level, LogLevel::trace);
    EXPECT_EQ(c.tsc_khz, 2'100'000u);
    EXPECT_EQ(c.poll, 0u);
    EXPECT_EQ(c.start, CoreStart::serial);
    EXPECT_TRUE(problems.empty());
}

TEST_F(CmdlineTest, PlacesADomainOnACoreOrInAnotherOnes) {
    const auto c = parse("place=netd:e1000,httpd:3");
    EXPECT_EQ(c.shared_with("netd"), "e1000");
    EXPECT_EQ(c.core_for("netd"), std::nullopt);
    EXPECT_EQ(c.shared_with("httpd"), "");
    EXPECT_EQ(c.shared_with("shell"), "");
    EXPECT_TRUE(problems.empty());
    EXPECT_EQ(parse("place=netd:-e1000").place, "");
    EXPECT_EQ(problems.size(), 1u);
}

TEST_F(CmdlineTest, ReadsAnAddressForWhenNobodyAnswersDhcp) {
    const auto c = parse("ip=dhcp,10.77.0.2/24 gw=10.77.0.1");
    EXPECT_EQ(c.ip, (Ipv4Prefix{0x0a4d0002, 24}));
    EXPECT_TRUE(c.ip_after_dhcp);
    EXPECT_FALSE(parse("ip=10.77.0.2/24").ip_after_dhcp);
    EXPECT_TRUE(problems.empty());
    EXPECT_FALSE(parse("ip=dhcp,").ip);
    EXPECT_EQ(problems.size(), 1u);
}

TEST_F(CmdlineTest, SaysNothingAboutWhatIsNotThere) {
    const auto c = parse("  \t ");
    EXPECT_FALSE(c.ip || c.gateway || c.seed || c.poll || c.tsc_khz || c.log_level || c.test);
    EXPECT_TRUE(problems.empty());
}

TEST_F(CmdlineTest, NamesAnUnknownKeyAndReadsOn) {
    const auto c = parse("colour=red noise seed=7");
    EXPECT_EQ(problems, (std::vector<std::string>{"unknown colour", "unknown noise"}));
    EXPECT_EQ(c.seed, 7u);
}

TEST_F(CmdlineTest, NamesABadValueAndLeavesItOut) {
    const auto c = parse("ip=10.0.0 gw=1.2.3.4.5 test=2 place=netd:+ seed= poll=-1 "
                         "tsc_khz=4294967296 log=loud start=now count=");
    EXPECT_EQ(
        problems,
        (std::vector<std::string>{
            "bad ip",
            "bad gw",
            "bad test",
            "bad place",
            "bad seed",
            "bad poll",
            "bad tsc_khz",
            "bad log",
            "bad start",
            "bad count"
        })
    );
    EXPECT_FALSE(c.ip || c.gateway || c.test || c.seed || c.poll || c.tsc_khz || c.log_level);
    EXPECT_FALSE(c.start);
    EXPECT_TRUE(c.place.empty());
}

TEST_F(CmdlineTest, AddressesAreFourBytesAndNothingElse) {
    EXPECT_EQ(parse_ipv4("255.255.255.255"), 0xffff'ffffu);
    for (auto bad :
         {"256.0.0.0", "1..2.3", "1.2.3", "0x1.2.3.4", "1.2.3.4 ", "1.2.3.4.", "", "0001.2.3.4"})
        EXPECT_EQ(parse_ipv4(bad), std::nullopt) << bad;
    EXPECT_EQ(parse_ipv4_prefix("10.0.2.15"), (Ipv4Prefix{0x0a00020f, 32}));
    EXPECT_EQ(parse_ipv4_prefix("10.0.2.15/33"), std::nullopt);
    EXPECT_EQ(parse_ipv4_prefix("10.0.2.15/"), std::nullopt);
}

TEST_F(CmdlineTest, NumbersDoNotWrap) {
    EXPECT_EQ(parse_number("18446744073709551615"), UINT64_MAX);
    EXPECT_EQ(parse_number("18446744073709551616"), std::nullopt);
    EXPECT_EQ(parse_number("0xffffffffffffffff"), UINT64_MAX);
    EXPECT_EQ(parse_number("0x10000000000000000"), std::nullopt);
    EXPECT_EQ(parse_number("0x"), std::nullopt);
    EXPECT_EQ(parse_number("12a"), std::nullopt);
}

} // namespace
