// A static object that is made when the program says so and never destroyed: domains have no
// static constructors that run code, and end by being deleted.
#pragma once

#include <array>
#include <cstddef>
#include <new>
#include <utility>

#include "lib/base/invariant.hpp"

namespace os {

template <class T>
class Immortal {
  public:
    constexpr Immortal() = default;

    template <class... Args>
    T& make(Args&&... args) {
        INVARIANT(!made_, "it is made once");
        made_ = true;
        return *new (storage_.data()) T(std::forward<Args>(args)...);
    }

    bool made() const { return made_; }

    T& operator*() {
        INVARIANT(made_, "it is made before it is used");
        return *std::launder(reinterpret_cast<T*>(storage_.data()));
    }

    T* operator->() { return &**this; }

  private:
    alignas(T) std::array<std::byte, sizeof(T)> storage_{};
    bool made_{};
};

} // namespace os
