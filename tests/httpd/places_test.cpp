#include "usr/httpd/places.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "tests/async/fake_waiter.hpp"

namespace {

using http::Places;
using In = Places::Wait::In;

class Kept final : public async::Job {};

struct HttpPlaces : testing::Test {
    HttpPlaces() {
        EXPECT_TRUE(keeper.start(keep()));
        EXPECT_TRUE(first.start(take(one)));
        run.loop.run();
        EXPECT_TRUE(one) << "there is one place";
    }

    async::Task<> keep() {
        for (;;)
            asked.push_back(co_await places.next_to_leave());
    }

    async::Task<> take(std::optional<Places::Place>& into) {
        into.emplace(co_await places.enter());
        co_return {};
    }

    TestLoop run;
    Places places{run.loop, 1};
    std::optional<Places::Place> one, two;
    std::vector<uint32_t> asked; // to leave
    Kept keeper, first, second;
};

TEST_F(HttpPlaces, NobodyIsAskedWhileNobodyElseWantsIn) {
    const Places::Wait wait{places, 7, In::between};
    run.loop.run();
    EXPECT_TRUE(asked.empty());
    EXPECT_FALSE(places.wanted());
}

TEST_F(HttpPlaces, WhoBeginsToWaitLaterIsFoundToo) {
    EXPECT_TRUE(second.start(take(two)));
    run.loop.run();
    EXPECT_TRUE(asked.empty()) << "who has the place is busy";
    const Places::Wait wait{places, 7, In::request};
    const Instant since = run.loop.now();
    run.loop.run();
    EXPECT_EQ(asked, std::vector<uint32_t>{7});
    EXPECT_GE(run.loop.now() - since, Places::patience) << "in a request nobody is hurried";
    one.reset();
    run.loop.run();
    EXPECT_TRUE(two);
}

TEST_F(HttpPlaces, WhoWasAskedAndStayedLetsAnotherOneBeAsked) {
    EXPECT_TRUE(second.start(take(two)));
    {
        const Places::Wait wait{places, 7, In::between};
        run.loop.run();
    }
    const Places::Wait wait{places, 8, In::between};
    run.loop.run();
    EXPECT_EQ(asked, (std::vector<uint32_t>{7, 8}));
}

} // namespace
