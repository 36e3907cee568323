#include "lib/os/manifest.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using os::DeviceKind;
using os::Manifest;

struct Parsed {
    Manifest manifest;
    std::vector<std::string> bad;
};

Parsed parse(std::string_view text) {
    Parsed parsed;
    parsed.manifest = Manifest::parse(text, [&](const Manifest::Problem& p) {
        parsed.bad.push_back(std::to_string(p.line) + " " + std::string{p.word});
    });
    return parsed;
}

TEST(Manifest, ReadsDevicesAndDomains) {
    const auto [m, bad] = parse("# devices\n"
                                "device com1.ports ports 0x3f8 8   # the UART\n"
                                "device com1.irq irq 4\n"
                                "device pci.lines lines 16 8\n"
                                "device pci.window window\n"
                                "\n"
                                "domain console 0 18 256 com1.ports com1.irq\n"
                                "\tdomain netd 2 22 3000\n"
                                "counted bench 0 5 1024\n"
                                "image e1000 24 1024\n");
    EXPECT_TRUE(bad.empty()) << bad.front();
    ASSERT_EQ(m.devices().size(), 4u);
    EXPECT_EQ(m.device("com1.ports")->first, 0x3f8u);
    EXPECT_EQ(m.device("com1.ports")->count, 8u);
    EXPECT_EQ(m.device("pci.window")->kind, DeviceKind::window);
    ASSERT_EQ(m.domains().size(), 4u);
    EXPECT_EQ(m.domain("netd")->start, os::Start::with_machine);
    EXPECT_EQ(m.domain("bench")->start, os::Start::when_counted);
    EXPECT_EQ(m.domain("e1000")->start, os::Start::by_others);
    EXPECT_EQ(m.domain("e1000")->priority, 24);
    const os::DomainEntry& console = m.domains()[0];
    EXPECT_EQ(console.name, "console");
    EXPECT_EQ(console.priority, 18);
    EXPECT_EQ(console.quota, 256u * 1024);
    ASSERT_EQ(console.labels().size(), 2u);
    EXPECT_EQ(console.labels()[1], "com1.irq");
    EXPECT_EQ(m.domain("netd")->place, 2);
    EXPECT_EQ(m.domain("netd")->quota, 4096u * 1024) << "rounded up to a block";
}

TEST(Manifest, SaysWhoseDomainIsShared) {
    const auto [m, bad] = parse("domain a 2 4 256\n"
                                "domain b driver 4 256\n"
                                "domain c Driver 4 256\n");
    EXPECT_EQ(bad.size(), 1u);
    const auto shared = [&m](std::string_view name, std::string_view line) {
        return m.shared_with(name, Cmdline::parse(line, [](Cmdline::Problem) { FAIL(); }));
    };
    EXPECT_EQ(shared("a", ""), "");
    EXPECT_EQ(shared("b", ""), "driver");
    EXPECT_EQ(shared("a", "place=a:driver"), "driver") << "settings go before the file";
    EXPECT_EQ(shared("b", "place=b:3"), "");
    EXPECT_EQ(shared("nobody", "place=nobody:driver"), "");
}

TEST(Manifest, OfTwoInOneDomainTheImageOfBothIsStarted) {
    const auto [m, bad] = parse("domain app 2 4 256\n"
                                "domain stack 1 4 256\n"
                                "image app-stack 4 512\n");
    EXPECT_TRUE(bad.empty());
    const auto image = [&m](std::string_view name, std::string_view line) {
        const auto settings = Cmdline::parse(line, [](Cmdline::Problem) { FAIL(); });
        return m.image_of(*m.domain(name), settings).name;
    };
    EXPECT_EQ(image("app", ""), "app");
    EXPECT_EQ(image("app", "place=stack:app"), "app-stack");
    EXPECT_EQ(image("stack", "place=stack:app"), "stack");
    EXPECT_EQ(image("stack", "place=app:stack"), "stack") << "there is no stack-app";
    EXPECT_EQ(m.image_of_both("app", "stack")->quota, 512u * 1024);
    EXPECT_EQ(m.image_of_both("stack", "app"), nullptr);
}

TEST(Manifest, LeavesOutABadLineAndKeepsTheRest) {
    const auto [m, bad] = parse("domain a 0 40 256\n"        // priority
                                "domain b 0 4 1\n"           // quota
                                "domain c 0 4\n"             // too short
                                "domain d 0 4 256 nothing\n" // no such device
                                "domain abcdefghijklmnopq 0 4 256\n"
                                "device p ports 0xffff 2\n" // leaves the port space
                                "device q ports 1 0\n"
                                "device r irq 16\n"
                                "device s window 1\n"
                                "service x\n"
                                "domain good 1 4 256\n"
                                "domain good 2 4 256\n" // twice
    );
    EXPECT_EQ(bad.size(), 11u);
    EXPECT_TRUE(m.devices().empty());
    ASSERT_EQ(m.domains().size(), 1u);
    EXPECT_EQ(m.domains()[0].place, 1);
}

TEST(Manifest, ReadsPolicyEnvironmentAndBusMaster) {
    using When = os::RestartPolicy::When;
    const auto [m, bad] =
        parse("domain a 0 4 256 restart=on-fault/3/120 env:COLOUR=red env:SIZE=a=b launch\n"
              "domain b 0 4 256 restart=always\n"
              "image c 4 256 bus-master control\n");
    EXPECT_TRUE(bad.empty()) << bad.front();
    const os::DomainEntry& a = *m.domain("a");
    EXPECT_EQ(a.restart.when, When::on_fault);
    EXPECT_EQ(a.restart.times, 3);
    EXPECT_EQ(a.restart.within, seconds(120));
    ASSERT_EQ(a.variables().size(), 2u);
    EXPECT_EQ(a.variables()[0], "COLOUR=red");
    EXPECT_EQ(a.variables()[1], "SIZE=a=b");
    ASSERT_EQ(a.labels().size(), 1u);
    EXPECT_FALSE(a.bus_master);
    EXPECT_EQ(m.domain("b")->restart.when, When::always);
    EXPECT_EQ(m.domain("c")->restart.when, When::never);
    EXPECT_TRUE(m.domain("c")->bus_master);
    EXPECT_TRUE(m.domain("c")->control);
    EXPECT_FALSE(m.domain("b")->control);
}

TEST(Manifest, SaysAtWhichWordOfWhichLineItStopped) {
    const auto [m, bad] = parse("domain good 0 4 256\n"
                                "domain a 0 4 256 restart=sometimes\n"
                                "domain b 0 4 256 restart=always/0/5\n"
                                "domain c 0 4 256 restart=always/3\n"
                                "domain d 0 4 256 restart=always/17/60\n"
                                "domain e 0 4 256 env:=red\n"
                                "domain f 0 4 256 env:red\n"
                                "domain g 0 4\n");
    EXPECT_EQ(m.domains().size(), 1u);
    const std::vector<std::string> expected{
        "2 restart=sometimes",
        "3 restart=always/0/5",
        "4 restart=always/3",
        "5 restart=always/17/60",
        "6 env:=red",
        "7 env:red",
        "8 "
    };
    EXPECT_EQ(bad, expected);
}

TEST(Manifest, SurvivesAnyPrefixOfItself) {
    const std::string text = "device a ports 0x10 4\ndomain b 1 2 256 a\n";
    for (size_t n = 0; n <= text.size(); ++n)
        EXPECT_LE(parse(std::string_view{text}.substr(0, n)).bad.size(), 1u);
}

} // namespace
