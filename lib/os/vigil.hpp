// Who waits for an answer of another core finds out that it has stopped: by looking now and then
// whether anything was heard, while something is waited for, and by telling the monitor if not. The
// monitor asks that core; so a suspicion that is wrong costs a message and does no harm.
#pragma once

#include "lib/async/loop.hpp"

namespace os {

class Vigil {
  public:
    /// Something of which answers are waited for.
    class Watched {
      public:
        ListHook<Watched> hook;

        virtual bool awaits_answer() const = 0;
        /// Grows with whatever is said or heard.
        virtual uint64_t traffic() const = 0;
        /// Nothing was heard for a while.
        virtual void suspect() = 0;

      protected:
        ~Watched() = default;

      private:
        friend class Vigil;
        bool awaited_{}; // at the last look
        uint64_t traffic_{};
    };

    Vigil(async::Loop& loop, Duration interval)
        : loop_{loop}, usual_interval_{interval}, again_{loop} {}

    void add(Watched& watched) { watched_.push_back(watched); }

    void remove(Watched& watched) { watched_.remove(watched); }

    /// Asked before the loop sleeps. True: there is a look to come that was not, so it is not to
    /// sleep yet.
    bool arranges_look();

  private:
    enum class Seen : uint8_t { nothing_awaited, traffic, silence };

    Seen look();
    async::Task<> run();

    async::Loop& loop_;
    Duration usual_interval_, interval_{};
    async::Signal again_; // something new is waited for
    bool running_{};
    uint64_t seen_{}; // sum of the traffic of all that are waited for
    List<Watched, &Watched::hook> watched_;
};

} // namespace os
