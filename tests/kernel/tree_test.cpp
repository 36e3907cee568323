#include "lib/base/tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

namespace {

struct Node {
    int key{}, sum{};
    Node *left{}, *right{}, *parent{};
    uint8_t height{};
};

/// Keeps the sum of the keys of every subtree.
struct Links {
    static Node*& left(Node& n) { return n.left; }

    static Node*& right(Node& n) { return n.right; }

    static Node*& parent(Node& n) { return n.parent; }

    static uint8_t& height(Node& n) { return n.height; }

    static bool update(Node& n) {
        const int sum = n.key + (n.left ? n.left->sum : 0) + (n.right ? n.right->sum : 0);
        return std::exchange(n.sum, sum) != sum;
    }

    static void begin(Node& n) { n.sum = n.key; }

    static bool include(Node& above, const Node& leaf) {
        above.sum += leaf.key;
        return leaf.key != 0;
    }
};

using Nodes = Tree<Node, Links>;

struct Walk {
    std::vector<int> keys;
    int height{};
    int sum{};
};

Walk check(Node* at) {
    if (at == nullptr) return {};
    const Walk left = check(at->left), right = check(at->right);
    EXPECT_LE(std::abs(left.height - right.height), 1);
    if (at->left != nullptr) EXPECT_EQ(at->left->parent, at);
    if (at->right != nullptr) EXPECT_EQ(at->right->parent, at);
    Walk all = left;
    all.keys.push_back(at->key);
    all.keys.insert(all.keys.end(), right.keys.begin(), right.keys.end());
    all.height = 1 + std::max(left.height, right.height);
    all.sum = left.sum + at->key + right.sum;
    EXPECT_EQ(at->height, all.height);
    EXPECT_EQ(at->sum, all.sum);
    return all;
}

void insert(Nodes& tree, Node& n) {
    tree.insert(n, [&](const Node& there) { return n.key < there.key; });
}

/// Between two neighbours there is one place, which the way down from the root finds as well.
TEST(Tree, APlaceIsKnownByItsNeighbours) {
    std::mt19937 random{1};
    std::vector<Node> nodes(200);
    Nodes tree;
    std::vector<int> keys(nodes.size());
    std::iota(keys.begin(), keys.end(), 0);
    std::ranges::shuffle(keys, random);
    insert(tree, nodes[0] = {.key = -1});
    for (size_t i = 1; i < nodes.size(); ++i) {
        Node& n = nodes[i];
        n.key = keys[i];
        const auto found = tree.place_for([&](const Node& there) { return n.key < there.key; });
        ASSERT_NE(found.previous, nullptr);
        ASSERT_EQ(found.next, Nodes::next(*found.previous));
        const auto place = tree.place_between(*found.previous, found.next);
        EXPECT_EQ(place.above, found.above);
        EXPECT_EQ(place.link, found.link);
        tree.insert_at(place, n);
    }
    EXPECT_TRUE(std::ranges::is_sorted(check(tree.root()).keys));
}

TEST(Tree, StaysOrderedBalancedAndSummedUnderRandomUse) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        std::mt19937 random{seed};
        std::vector<Node> nodes(200);
        Nodes tree;
        std::vector<int> model;
        for (int step = 0; step < 1500; ++step) {
            Node& n = nodes[random() % nodes.size()];
            if (n.height == 0) {
                n.key = static_cast<int>(random() % 100);
                insert(tree, n);
                model.insert(std::ranges::upper_bound(model, n.key), n.key);
            } else {
                tree.erase(n);
                model.erase(std::ranges::lower_bound(model, n.key));
            }
            if (step % 7 == 0) ASSERT_EQ(check(tree.root()).keys, model) << "seed " << seed;
        }
    }
}

TEST(Tree, EqualOnesStayInOrderOfArrival) {
    std::vector<Node> nodes(40);
    Nodes tree;
    for (Node& n : nodes) {
        n.key = 5;
        insert(tree, n);
    }
    Node* at = tree.first();
    for (Node& n : nodes) {
        ASSERT_EQ(at, &n);
        at = Nodes::next(*at);
    }
    EXPECT_EQ(at, nullptr);
}

TEST(Tree, LowerBoundIsTheFirstThatIsNotBefore) {
    std::vector<Node> nodes(50);
    Nodes tree;
    for (int i = 0; i < 50; ++i) {
        nodes[static_cast<size_t>(i)].key = 2 * i;
        insert(tree, nodes[static_cast<size_t>(i)]);
    }
    for (int key = -1; key < 101; ++key) {
        Node* const found = tree.lower_bound([&](const Node& n) { return n.key < key; });
        if (key > 98) {
            EXPECT_EQ(found, nullptr);
        } else {
            ASSERT_NE(found, nullptr);
            EXPECT_EQ(found->key, key <= 0 ? 0 : (key + 1) / 2 * 2);
        }
    }
}

TEST(Tree, PreviousIsTheInverseOfNext) {
    std::vector<Node> nodes(33);
    Nodes tree;
    for (int i = 0; i < 33; ++i) {
        nodes[static_cast<size_t>(i)].key = (i * 7) % 33;
        insert(tree, nodes[static_cast<size_t>(i)]);
    }
    int key = 32;
    for (Node* at = tree.last(); at != nullptr; at = Nodes::previous(*at))
        EXPECT_EQ(at->key, key--);
    EXPECT_EQ(key, -1);
}

TEST(Tree, ReplaceKeepsPlaceAndSummary) {
    std::vector<Node> nodes(20);
    Nodes tree;
    for (int i = 0; i < 20; ++i) {
        nodes[static_cast<size_t>(i)].key = i;
        insert(tree, nodes[static_cast<size_t>(i)]);
    }
    const auto before = check(tree.root()).keys;
    for (size_t i = 0; i < 20; ++i) {
        Node* const fresh = new Node{.key = nodes[i].key};
        tree.replace(nodes[i], *fresh);
        ASSERT_EQ(check(tree.root()).keys, before);
        EXPECT_EQ(nodes[i].height, 0);
        tree.replace(*fresh, nodes[i]);
        delete fresh;
    }
}

TEST(Tree, AnObjectInTheTreeCannotEnterTwice) {
    Node n;
    Nodes tree;
    insert(tree, n);
    EXPECT_THROW(insert(tree, n), std::logic_error);
    tree.erase(n);
    EXPECT_THROW(tree.erase(n), std::logic_error);
}

} // namespace
