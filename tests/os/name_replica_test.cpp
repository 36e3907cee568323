#include "lib/os/name_replica.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>

namespace {

using os::NameReplica;
using os::NameText;

os::OfferedName offered(std::string_view name, uint8_t core) {
    return {NameText::cut(name), CoreId{{core}}};
}

struct Replica : testing::Test {
    std::unique_ptr<NameReplica> names = std::make_unique<NameReplica>();

    int home(std::string_view name) const {
        const auto found = names->home_of(name);
        return found ? found->raw : -1;
    }
};

TEST_F(Replica, IsEmptyAtFirst) {
    EXPECT_EQ(home("console"), -1);
    EXPECT_FALSE(names->at(0));
}

TEST_F(Replica, ShowsWhatWasPublishedAndNothingBefore) {
    names->begin();
    ASSERT_TRUE(names->add(offered("console", 0)));
    ASSERT_TRUE(names->add(offered("a.name.of.16.cha", 200)));
    EXPECT_EQ(home("console"), -1);
    names->publish();
    EXPECT_EQ(home("console"), 0);
    EXPECT_EQ(home("a.name.of.16.cha"), 200);
    EXPECT_EQ(home("a.name.of.16.chars"), -1) << "too long for a name";
    EXPECT_EQ(home("consol"), -1);
    EXPECT_EQ(names->at(1)->name.view(), "a.name.of.16.cha");
    names->begin();
    EXPECT_EQ(home("console"), 0) << "the old one is shown while the next is written";
    names->publish();
    EXPECT_EQ(home("console"), -1);
}

TEST_F(Replica, OfTwoCoresTheLowerCounts) {
    for (const bool lower_first : {true, false}) {
        names->begin();
        for (const unsigned i : {0u, 1u})
            ASSERT_TRUE(names->add(offered("net", (i == 0) == lower_first ? 3 : 9)));
        names->publish();
        EXPECT_EQ(home("net"), 3);
        EXPECT_FALSE(names->at(1)) << "it is one name";
    }
}

TEST_F(Replica, HoldsWhatItSaysAndRefusesMore) {
    std::mt19937 random{1};
    for (int round = 0; round < 3; ++round) {
        std::map<std::string, uint8_t> model;
        names->begin();
        while (model.size() < NameReplica::capacity) {
            std::string name(1 + random() % 16, ' ');
            for (char& c : name)
                c = static_cast<char>('a' + random() % 4);
            const auto core = static_cast<uint8_t>(random());
            if (!model.emplace(name, core).second) continue;
            ASSERT_TRUE(names->add(offered(name, core)));
        }
        EXPECT_EQ(names->add(offered("one too many", 1)).error().top(), Err::no_space);
        names->publish();
        for (const auto& [name, core] : model)
            ASSERT_EQ(home(name), core);
        EXPECT_EQ(home("one too many"), -1);
        EXPECT_TRUE(names->at(NameReplica::capacity - 1));
        EXPECT_FALSE(names->at(NameReplica::capacity));
    }
}

} // namespace
