#include "lib/base/list.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

namespace {

struct Item {
    int value{};
    ListHook<Item> first_hook, second_hook;

    explicit Item(int v) : value{v} {}
};

using First = List<Item, &Item::first_hook>;
using Second = List<Item, &Item::second_hook>;

template <class L>
std::vector<int> values(const L& list) {
    std::vector<int> out;
    for (Item& item : list)
        out.push_back(item.value);
    return out;
}

TEST(List, KeepsOrderAtBothEnds) {
    Item a{1}, b{2}, c{3};
    First list;
    EXPECT_TRUE(list.empty());
    list.push_back(b);
    list.push_back(c);
    list.push_front(a);
    EXPECT_EQ(values(list), (std::vector{1, 2, 3}));
    EXPECT_EQ(list.back(), &c);
    EXPECT_EQ(list.pop_front(), &a);
    EXPECT_FALSE(a.first_hook.linked());
    list.insert_before(c, a);
    EXPECT_EQ(values(list), (std::vector{2, 1, 3}));
    list.remove(a);
    list.insert_before(b, a);
    EXPECT_EQ(values(list), (std::vector{1, 2, 3})) << "in front of the first is the new first";
}

TEST(List, AnItemIsOnSeveralListsThroughSeveralHooks) {
    Item a{1}, b{2};
    First one;
    Second two;
    one.push_back(a);
    two.push_back(b);
    two.push_back(a);
    one.remove(a);
    EXPECT_TRUE(one.empty());
    EXPECT_EQ(values(two), (std::vector{2, 1}));
}

TEST(List, RefusesAnItemTwice) {
    Item a{1};
    First list;
    list.push_back(a);
    EXPECT_THROW(list.push_back(a), std::logic_error);
    list.remove(a);
    EXPECT_THROW(list.remove(a), std::logic_error);
}

TEST(List, BehavesAsAVectorDoes) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random{seed};
    std::vector<std::unique_ptr<Item>> items;
    for (int i = 0; i < 20; ++i)
        items.push_back(std::make_unique<Item>(i));
    First list;
    std::vector<int> model;
    for (int step = 0; step < 5000; ++step) {
        Item& item = *items[random() % items.size()];
        if (item.first_hook.linked()) {
            list.remove(item);
            std::erase(model, item.value);
        } else if (!model.empty() && random() % 3 == 0) {
            const size_t at = random() % model.size();
            list.insert_before(*items[size_t(model[at])], item);
            model.insert(model.begin() + long(at), item.value);
        } else if (!model.empty() && random() % 3 == 0) {
            const size_t at = random() % model.size();
            list.replace(*items[size_t(model[at])], item);
            model[at] = item.value;
        } else if (random() % 2 == 0) {
            list.push_front(item);
            model.insert(model.begin(), item.value);
        } else {
            list.push_back(item);
            model.push_back(item.value);
        }
        ASSERT_EQ(values(list), model);
    }
}

} // namespace
