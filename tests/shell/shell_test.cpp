#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "usr/shell/command.hpp"
#include "usr/shell/line_editor.hpp"
#include "usr/shell/table.hpp"

using namespace shell;

namespace {

/// Feeds keys; the lines that come out, "^" for Ctrl-C.
struct Typist {
    LineEditor editor;
    std::string shown;
    std::vector<std::string> lines;

    void type(std::string_view keys) {
        for (char c : keys) {
            std::array<char, 4096> echo;
            TextWriter writer{echo};
            const auto event = editor.feed(c, writer);
            shown += writer.text();
            if (event == LineEditor::Event::line) lines.emplace_back(editor.line());
            if (event == LineEditor::Event::cancel) lines.emplace_back("^");
        }
    }
};

using Lines = std::vector<std::string>;

TEST(LineEditor, EchoesAndEndsALineOnce) {
    Typist typist;
    typist.type("ps\r\nhelp\ncores\r");
    EXPECT_EQ(typist.lines, (Lines{"ps", "help", "cores"}));
    EXPECT_EQ(typist.shown, "ps\nhelp\ncores\n");
}

TEST(LineEditor, ErasesWhatWasTypedAndNoMore) {
    Typist typist;
    typist.type("pw\x7f\x08\x7f\x7fls\r");
    EXPECT_EQ(typist.lines, Lines{"ls"});
    EXPECT_EQ(typist.shown, "pw\b \b\b \bls\n");
    typist.type("wrong\x15right\r");
    EXPECT_EQ(typist.lines.back(), "right");
}

TEST(LineEditor, CancelDropsTheLine) {
    Typist typist;
    typist.type("ping\x03ps\r");
    EXPECT_EQ(typist.lines, (Lines{"^", "ps"}));
}

TEST(LineEditor, ArrowsBringBackEarlierLines) {
    Typist typist;
    typist.type("one\rtwo\r\x1b[A\x1b[A\r");
    EXPECT_EQ(typist.lines.back(), "one");
    typist.type("\x1b[A\x1b[A\x1b[B!\r");
    EXPECT_EQ(typist.lines.back(), "one!");
    typist.type("\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\r");
    EXPECT_EQ(typist.lines.back(), "one") << "the oldest is the end";
    typist.type("new\x1b[A\x1b[B\r");
    EXPECT_EQ(typist.lines.back(), "");
}

TEST(LineEditor, IgnoresKeysWithoutMeaning) {
    Typist typist;
    typist.type("a\tb\x01\x1b[3~c\x1bOd\xff\r");
    EXPECT_EQ(typist.lines, Lines{"abcd"});
}

TEST(LineEditor, KeepsLinesWithinBounds) {
    Typist typist;
    typist.type(std::string(1000, 'x') + "\r");
    EXPECT_EQ(typist.lines.back().size(), LineEditor::line_bytes);
    for (int i = 0; i < 100; ++i)
        typist.type(std::to_string(i) + "\r");
    for (int i = 0; i < 50; ++i)
        typist.type("\x1b[A");
    typist.type("\r");
    EXPECT_EQ(
        typist.lines.back(), std::to_string(100 - static_cast<int>(LineEditor::history_lines))
    );
}

template <class C>
C get(std::string_view line) {
    const Command command = parse(line, 4);
    const C* const wanted = std::get_if<C>(&command);
    EXPECT_NE(wanted, nullptr) << line;
    return wanted != nullptr ? *wanted : C{};
}

TEST(Command, TakesEveryFormInHelp) {
    for (const Usage& usage : usages()) {
        std::string line{usage.form};
        const auto with = [&](std::string_view what, std::string_view value) {
            if (const auto at = line.find(what); at != std::string::npos)
                line.replace(at, what.size(), value);
        };
        with("ADDRESS", "10.0.2.2");
        with("[TIMES]", "3");
        with("NAME [SERVER]", "example.org 10.0.2.3");
        with("NAME on CORE [ARGUMENTS]", "httpd on 1 fast");
        with("[counters]", "counters");
        with("CORE.ID | NAME", "1.2");
        with("[CORE.ID]", "1.2");
        with("[add NETWORK/N via GATEWAY | del NETWORK/N]", "add 10.9.0.0/16 via 10.78.0.1");
        with("LINK A.B.C.D/N", "1 10.78.0.2/24");
        with("up|down|crash N", "down 1");
        with("[with", "with");
        with("B=2]", "B=2");
        EXPECT_FALSE(std::holds_alternative<Problem>(parse(line, 4))) << line;
    }
}

TEST(Command, ReadsArguments) {
    EXPECT_EQ(get<Ping>("ping 10.0.2.2").address, 0x0a00'0202u);
    EXPECT_EQ(get<Ping>("ping 10.0.2.2").times, 4u);
    EXPECT_EQ(get<Ping>("  ping   1.2.3.4   9 ").times, 9u);
    EXPECT_FALSE(get<Netstat>("netstat").counters_only);
    EXPECT_TRUE(get<Netstat>("netstat counters").counters_only);
    EXPECT_EQ(get<LookUp>("host example.org").name, "example.org");
    EXPECT_EQ(get<LookUp>("host a 10.0.2.3").server, 0x0a00'0203u);
    get<Routes>("route ");
    const auto route = get<RouteChange>("route add 10.9.0.0/16 via 10.78.0.1");
    EXPECT_EQ(route.destination, 0x0a09'0000u);
    EXPECT_EQ(route.bits, 16);
    EXPECT_EQ(route.gateway, 0x0a4e'0001u);
    EXPECT_EQ(get<RouteChange>("route del default").bits, 0);
    EXPECT_FALSE(get<RouteChange>("route del default").gateway);
    EXPECT_EQ(get<LinkAddress>("route address 1 10.78.0.2/24").address, 0x0a4e'0002u);
    const auto spawn = get<Spawn>("spawn bench on 3 warm=5  fast ");
    EXPECT_EQ(spawn.name, "bench");
    EXPECT_EQ(spawn.core.raw, 3);
    EXPECT_EQ(spawn.arguments, "warm=5  fast");
    EXPECT_TRUE(spawn.environment.empty());
    const auto both = get<Spawn>("spawn bench on 3 a with b  with A=1 B=x=y ");
    EXPECT_EQ(both.arguments, "a with b");
    EXPECT_EQ(both.environment, "A=1 B=x=y");
    EXPECT_EQ(get<Spawn>("spawn bench on 3 with A=1").environment, "A=1");
    EXPECT_EQ(get<Spawn>("spawn bench on 3 with A=1 2").arguments, "with A=1 2");
    EXPECT_EQ(get<KillById>("kill 2.17").core.raw, 2);
    EXPECT_EQ(get<KillById>("kill 2.17").id, 17u);
    EXPECT_EQ(get<KillByName>("kill httpd").name, "httpd");
    EXPECT_EQ(get<KillByName>("kill spawn.2").name, "spawn.2");
    EXPECT_EQ(get<RestartById>("restart 1.20").id, 20u);
    EXPECT_EQ(get<RestartByName>("restart e1000").name, "e1000");
    EXPECT_EQ(get<PsOfOne>("ps 3.18").core.raw, 3);
    EXPECT_TRUE(std::holds_alternative<Ps>(parse("ps", 4)));
    EXPECT_TRUE(std::holds_alternative<Mem>(parse("mem", 4)));
    get<Nothing>("");
    get<Nothing>("    ");
}

TEST(Command, SaysInOneSentenceWhatToDo) {
    const std::pair<std::string_view, std::string_view> cases[] = {
        {"frob", "there is no command \"frob\": type help"},
        {"ps all", "ps takes a domain as it lists it: type only ps, or ps CORE.ID"},
        {"ping", "ping needs an address: ping 10.0.2.2 [TIMES]"},
        {"ping x", "\"x\" is no IPv4 address: type four numbers like 10.0.2.2"},
        {"ping 10.0.2.256", "\"10.0.2.256\" is no IPv4 address: type four numbers like 10.0.2.2"},
        {"ping 1.2.3.4 no", "ping takes a number of times after the address: ping 1.2.3.4 10"},
        {"ping 1.2.3.4 0", "ping takes a number of times after the address: ping 1.2.3.4 10"},
        {"netstat all", "type netstat, or netstat counters"},
        {"host a b", "type a name, and the address of a server if you like: host example.org"},
        {"route add 10.9.0.0/16 10.78.0.1",
         "type route, route add 10.9.0.0/16 via 10.78.0.1, or route del 10.9.0.0/16"},
        {"route address nic.1 10.78.0.2",
         "type a card's number and its address: route address 1 10.78.0.2/24"},
        {"spawn httpd", "spawn needs a name and a core: spawn httpd on 1 [ARGUMENTS]"},
        {"spawn httpd at 1", "spawn needs a name and a core: spawn httpd on 1 [ARGUMENTS]"},
        {"spawn httpd on x", "\"x\" is no core: type a number from 0 to 3"},
        {"spawn httpd on 4", "there is no core 4: this machine has 0 to 3"},
        {"spawn seventeen-letters on 1",
         "\"seventeen-letters\" is too long for a name: at most 16 characters"},
        {"kill", "kill needs one domain: kill 1.20 (see ps) or kill httpd"},
        {"kill 7", "kill needs the core as well: type CORE.ID as ps shows it, or a name"},
        {"kill 9.1", "there is no core 9: this machine has 0 to 3"},
        {"kill 1.x", "\"1.x\" is no domain: type CORE.ID as ps shows it, or a name"},
    };
    for (const auto& [line, sentence] : cases)
        EXPECT_EQ(get<Problem>(line).view(), sentence) << line;
}

TEST(Command, SurvivesAnything) {
    const std::string words[] = {
        "spawn", "on", "kill", "ping", "1.2", ".", "..", "99999999999999999999", "\x80", ""
    };
    for (const auto& a : words)
        for (const auto& b : words)
            for (const auto& c : words)
                for (const auto& d : words)
                    (void)parse(a + " " + b + " " + c + " " + d, 4);
}

TEST(TextTable, AlignsColumns) {
    TextTable table{std::array{
        std::pair{std::string_view{"name"}, Align::left},
        std::pair{std::string_view{"bytes"}, Align::right},
        std::pair{std::string_view{"note"}, Align::left},
    }};
    table.cell("netd");
    table.cell("{}", 7);
    table.cell("x");
    table.cell("monitor");
    table.cell("{}", 1234567);
    table.cell("");
    std::string out;
    std::array<char, 240> buffer;
    for (size_t i = 0; i < table.lines(); ++i)
        (out += table.line(i, buffer)) += "\n";
    EXPECT_EQ(
        out,
        "name       bytes  note\n"
        "netd           7  x\n"
        "monitor  1234567  \n"
    );
}

TEST(TextTable, SaysWhenItIsFull) {
    TextTable table{std::array{std::pair{std::string_view{"n"}, Align::left}}};
    for (int i = 0; i < 5000; ++i)
        table.cell("{}", i);
    std::array<char, 240> buffer;
    EXPECT_EQ(table.line(table.lines() - 1, buffer), "(there is more than this table can hold)");
}

} // namespace
