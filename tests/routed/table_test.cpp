// Which routes are used, and how the stack's replica comes to hold them; the file of routes.
#include "net/routed/table.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "net/routed/config.hpp"

using namespace routed;

namespace {

constexpr net::Ipv4Address ip(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    return net::Ipv4Address{a, b, c, d};
}

const LinkState first{.address = {ip(10, 77, 0, 2), 24}, .gateway = ip(10, 77, 0, 1), .up = true};
const LinkState second{.address = {ip(10, 78, 0, 2), 24}, .gateway = {}, .up = true};

/// The stack's table, as its rules are: an equal prefix is replaced.
struct Replica {
    std::vector<Route> routes;

    unsigned follow(const Table& table) {
        const Table::Steps steps = table.steps(routes);
        for (const Step& step : steps.entries()) {
            const size_t before = routes.size();
            std::erase_if(routes, [&](const Route& route) {
                return route.destination == step.route.destination;
            });
            if (step.what == Step::What::set)
                routes.push_back(step.route);
            else
                EXPECT_EQ(routes.size() + 1, before) << "only what is there is removed";
        }
        return unsigned(steps.size());
    }

    bool has(net::Ipv4Prefix destination, net::Ipv4Address gateway, unsigned link) const {
        return std::ranges::any_of(routes, [&](const Route& route) {
            return same_way(
                route, {.destination = destination, .gateway = gateway, .link = uint8_t(link)}
            );
        });
    }
};

} // namespace

TEST(RoutedTable, LinksGiveTheirNetworksAndTheirGateway) {
    Table table;
    table.learn(std::array{first, second});
    Replica replica;
    EXPECT_EQ(replica.follow(table), 3u);
    EXPECT_TRUE(replica.has({ip(10, 77, 0, 0), 24}, net::ipv4_any, 0));
    EXPECT_TRUE(replica.has({ip(10, 78, 0, 0), 24}, net::ipv4_any, 1));
    EXPECT_TRUE(replica.has({}, ip(10, 77, 0, 1), 0));
    EXPECT_EQ(replica.follow(table), 0u) << "what agrees is left alone";
}

TEST(RoutedTable, AFixedRouteIsUsedWhileItsGatewayIsOnALink) {
    Table table;
    ASSERT_TRUE(table.add({ip(192, 168, 7, 9), 16}, ip(10, 78, 0, 9)));
    table.learn(std::array{first});
    Replica replica;
    replica.follow(table);
    EXPECT_EQ(replica.routes.size(), 2u);
    table.learn(std::array{first, second});
    EXPECT_EQ(replica.follow(table), 2u);
    EXPECT_TRUE(replica.has({ip(192, 168, 0, 0), 16}, ip(10, 78, 0, 9), 1));
    table.learn(std::array{first, LinkState{}});
    EXPECT_EQ(replica.follow(table), 2u);
    EXPECT_EQ(replica.routes.size(), 2u);
    EXPECT_EQ(table.routes().size(), 3u) << "known, and waiting";
}

TEST(RoutedTable, AFixedDefaultRouteWinsOverTheLease) {
    Table table;
    table.learn(std::array{first, second});
    Replica replica;
    replica.follow(table);
    ASSERT_TRUE(table.add({}, ip(10, 78, 0, 1)));
    EXPECT_EQ(replica.follow(table), 1u);
    EXPECT_TRUE(replica.has({}, ip(10, 78, 0, 1), 1));
    ASSERT_TRUE(table.remove({}));
    EXPECT_EQ(replica.follow(table), 1u);
    EXPECT_TRUE(replica.has({}, ip(10, 77, 0, 1), 0));
}

TEST(RoutedTable, AConnectedNetworkCannotBeTakenAway) {
    Table table;
    table.learn(std::array{first, second});
    ASSERT_TRUE(table.add({ip(10, 78, 0, 0), 24}, ip(10, 77, 0, 9)));
    Replica replica;
    replica.follow(table);
    EXPECT_TRUE(replica.has({ip(10, 78, 0, 0), 24}, net::ipv4_any, 1));
}

TEST(RoutedTable, WhatSomebodyElseWroteGoes) {
    Table table;
    table.learn(std::array{first});
    Replica replica;
    replica.routes.push_back({.destination = {ip(1, 2, 3, 0), 24}, .gateway = ip(10, 77, 0, 7)});
    replica.follow(table);
    EXPECT_EQ(replica.routes.size(), 2u);
    EXPECT_FALSE(replica.has({ip(1, 2, 3, 0), 24}, ip(10, 77, 0, 7), 0));
}

TEST(RoutedTable, MistakesAreRefused) {
    Table table;
    EXPECT_EQ(table.add({ip(1, 2, 3, 4), 33}, ip(10, 77, 0, 1)).error(), Err::bad_argument);
    EXPECT_EQ(table.add({}, net::ipv4_any).error(), Err::bad_argument);
    EXPECT_EQ(table.add({}, ip(224, 0, 0, 1)).error(), Err::bad_argument);
    EXPECT_EQ(table.remove({}).error(), Err::not_found);
    for (size_t i = 0; i < fixed_max; ++i)
        ASSERT_TRUE(table.add({ip(20, 0, uint8_t(i), 0), 24}, ip(10, 77, 0, 1)));
    EXPECT_EQ(table.add({ip(21, 0, 0, 0), 24}, ip(10, 77, 0, 1)).error(), Err::no_space);
    EXPECT_TRUE(table.add({ip(20, 0, 0, 0), 24}, ip(10, 77, 0, 8))) << "an equal one is replaced";
    EXPECT_EQ(table.routes().size(), fixed_max);
}

TEST(RoutedTable, WithTwoAddressesItIsARouter) {
    Table table;
    table.learn(std::array{first, LinkState{}});
    EXPECT_FALSE(table.forwards());
    table.learn(std::array{first, second});
    EXPECT_TRUE(table.forwards());
}

TEST(RoutedConfig, LinesAreReadAndUnclearOnesTold) {
    constexpr std::string_view text = "# a comment\n"
                                      "address 1 10.78.0.2/24   # the second\n"
                                      "\n"
                                      "route default via 10.78.0.1\n"
                                      "route 192.168.0.0/16 via 10.78.0.9\r\n"
                                      "route 192.168.0.0/33 via 10.78.0.9\n"
                                      "route 192.168.0.0/16 10.78.0.9\n"
                                      "address x 1.2.3.4/24\n"
                                      "route 1.2.3.0/24 via 1.2.3.4 more\n"
                                      "gibberish";
    std::vector<Line> lines;
    std::vector<unsigned> bad;
    parse_config(
        text,
        [&](const Line& line) { lines.push_back(line); },
        [&](unsigned number) { bad.push_back(number); }
    );
    EXPECT_EQ(
        lines,
        (std::vector<Line>{
            AddressLine{1, {ip(10, 78, 0, 2), 24}},
            RouteLine{{}, ip(10, 78, 0, 1)},
            RouteLine{{ip(192, 168, 0, 0), 16}, ip(10, 78, 0, 9)},
        })
    );
    EXPECT_EQ(bad, (std::vector<unsigned>{6, 7, 8, 9, 10}));
}
