// An intrusive height-balanced (AVL) tree. The links live in the objects, nothing is allocated,
// nothing recurses, and leaving or taking another's place needs no search. Order is the caller's:
// he says on which side to go down. `Access` tells where the links are, and can keep in each object
// a summary of its subtree (the greatest end, say) that the tree keeps true.
#pragma once

#include <concepts>
#include <cstdint>

#include "lib/base/invariant.hpp"

/// What Tree needs of an object: three links, a height, and its summary.
template <class A, class T>
concept TreeAccess = requires(T& item) {
    { A::left(item) } -> std::same_as<T*&>;
    { A::right(item) } -> std::same_as<T*&>;
    { A::parent(item) } -> std::same_as<T*&>;
    { A::height(item) } -> std::same_as<uint8_t&>; // 0: not in a tree
    // Recomputes the summary from the object and its children; did it change?
    { A::update(item) } -> std::same_as<bool>;
    // The summary of a leaf that `item` has become.
    { A::begin(item) } -> std::same_as<void>;
    // A new leaf hangs somewhere below `item`; did that change its summary?
    { A::include(item, item) } -> std::same_as<bool>;
};

template <class T, class A>
class Tree {
    static_assert(TreeAccess<A, T>);

  public:
    constexpr Tree() = default;
    Tree(const Tree&) = delete; // objects are linked with each other, but one root is theirs
    Tree& operator=(const Tree&) = delete;

    T* root() const { return root_; }

    T* first() const { return root_ == nullptr ? nullptr : leftmost(root_); }

    T* last() const { return root_ == nullptr ? nullptr : rightmost(root_); }

    /// Where an object would go, until the tree changes: what it would hang from, and its
    /// neighbours.
    struct Place {
        T* above{};
        T** link{};
        T* previous{};
        T* next{};
    };

    /// `goes_before(there)`: does it come before `there`? Equal ones come in order of arrival.
    template <std::predicate<const T&> Before>
    Place place_for(Before goes_before) {
        Place place{.link = &root_};
        while (*place.link != nullptr) {
            place.above = *place.link;
            if (goes_before(*place.above)) {
                place.next = place.above;
                place.link = &A::left(*place.above);
            } else {
                place.previous = place.above;
                place.link = &A::right(*place.above);
            }
        }
        return place;
    }

    /// Behind `previous`, and before `next`, which follows it now, or is nullptr.
    Place place_between(T& previous, T* next) {
        if (A::right(previous) == nullptr) return {&previous, &A::right(previous), &previous, next};
        return {next, &A::left(*next), &previous, next};
    }

    void insert_at(const Place& place, T& item) { attach(item, place.above, place.link); }

    template <std::predicate<const T&> Before>
    void insert(T& item, Before goes_before) {
        insert_at(place_for(goes_before), item);
    }

    /// `item` becomes the neighbour after `there`, whatever it holds.
    void insert_after(T& there, T& item) {
        T* above = &there;
        T** link = &A::right(there);
        while (*link != nullptr) {
            above = *link;
            link = &A::left(*above);
        }
        attach(item, above, link);
    }

    void erase(T& item) {
        INVARIANT(A::height(item) != 0, "only what is in the tree can leave it");
        T* above = A::parent(item);
        T* must_visit = nullptr;
        if (A::left(item) == nullptr) {
            hang(above, &item, A::right(item));
        } else if (A::right(item) == nullptr) {
            hang(above, &item, A::left(item));
        } else {
            must_visit = leftmost(A::right(item));
            above = A::parent(*must_visit);
            if (above == &item) above = must_visit;
            put_in_place_of(item, *must_visit);
        }
        A::left(item) = A::right(item) = A::parent(item) = nullptr;
        A::height(item) = 0;
        repair(above, must_visit);
    }

    /// `fresh` takes the place of `old`: same order, same summary.
    void replace(T& old, T& fresh) {
        A::left(fresh) = A::left(old);
        A::right(fresh) = A::right(old);
        A::height(fresh) = A::height(old);
        if (A::left(fresh) != nullptr) A::parent(*A::left(fresh)) = &fresh;
        if (A::right(fresh) != nullptr) A::parent(*A::right(fresh)) = &fresh;
        hang(A::parent(old), &old, &fresh);
        A::left(old) = A::right(old) = A::parent(old) = nullptr;
        A::height(old) = 0;
        (void)A::update(fresh);
    }

    /// The first object that `is_before` does not hold for; it holds for a prefix of the order.
    template <std::predicate<const T&> Before>
    T* lower_bound(Before is_before) const {
        T* found = nullptr;
        for (T* at = root_; at != nullptr;) {
            if (is_before(*at)) {
                at = A::right(*at);
            } else {
                found = at;
                at = A::left(*at);
            }
        }
        return found;
    }

    static T* next(T& item) {
        if (A::right(item) != nullptr) return leftmost(A::right(item));
        T* from = &item;
        T* at = A::parent(item);
        while (at != nullptr && A::right(*at) == from) {
            from = at;
            at = A::parent(*at);
        }
        return at;
    }

    static T* previous(T& item) {
        if (A::left(item) != nullptr) return rightmost(A::left(item));
        T* from = &item;
        T* at = A::parent(item);
        while (at != nullptr && A::left(*at) == from) {
            from = at;
            at = A::parent(*at);
        }
        return at;
    }

  private:
    static T* leftmost(T* at) {
        while (A::left(*at) != nullptr)
            at = A::left(*at);
        return at;
    }

    static T* rightmost(T* at) {
        while (A::right(*at) != nullptr)
            at = A::right(*at);
        return at;
    }

    static int height(T* at) { return at == nullptr ? 0 : A::height(*at); }

    static void set_height(T& at) {
        const int left = height(A::left(at)), right = height(A::right(at));
        A::height(at) = static_cast<uint8_t>(1 + (left > right ? left : right));
    }

    void attach(T& item, T* above, T** link) {
        INVARIANT(A::height(item) == 0, "an object is in one tree at a time");
        A::left(item) = A::right(item) = nullptr;
        A::parent(item) = above;
        A::height(item) = 1;
        A::begin(item);
        *link = &item;
        for (T* at = above; at != nullptr && A::include(*at, item);)
            at = A::parent(*at);
        grow(item);
    }

    /// `below` hangs where `old` hung from `above`.
    void hang(T* above, T* old, T* below) {
        if (above == nullptr) {
            root_ = below;
        } else if (A::left(*above) == old) {
            A::left(*above) = below;
        } else {
            A::right(*above) = below;
        }
        if (below != nullptr) A::parent(*below) = above;
    }

    /// `heir` is the leftmost of `item`'s right subtree.
    void put_in_place_of(T& item, T& heir) {
        if (A::right(item) != &heir) {
            hang(A::parent(heir), &heir, A::right(heir));
            A::right(heir) = A::right(item);
            A::parent(*A::right(heir)) = &heir;
        }
        A::left(heir) = A::left(item);
        A::parent(*A::left(heir)) = &heir;
        A::height(heir) = A::height(item);
        hang(A::parent(item), &item, &heir);
    }

    /// After a change below `at`. Summaries first: a rotation needs those of its children, and what
    /// comes up has the summary of what was there. The summary of `must_visit`, which is above, is
    /// still that of its old place.
    void repair(T* at, T* must_visit) {
        T* from = at;
        for (; must_visit != nullptr; from = A::parent(*from)) {
            (void)A::update(*from);
            if (from == must_visit) must_visit = nullptr;
        }
        while (from != nullptr && A::update(*from))
            from = A::parent(*from);
        rebalance(at);
    }

    /// The subtree of `item` is higher by one: upwards until one is as high as it was.
    void grow(T& item) {
        T* below = &item;
        T* at = A::parent(item);
        while (at != nullptr && A::height(*at) == A::height(*below)) {
            const bool left = A::left(*at) == below;
            if (height(left ? A::right(*at) : A::left(*at)) + 1 < A::height(*below)) {
                balance(*at, left);
                return;
            }
            A::height(*at) = static_cast<uint8_t>(A::height(*below) + 1);
            below = at;
            at = A::parent(*at);
        }
    }

    /// Upwards until a subtree is as high as it was.
    void rebalance(T* at) {
        for (; at != nullptr; at = A::parent(*at)) {
            const int left = height(A::left(*at)), right = height(A::right(*at));
            const uint8_t was = A::height(*at);
            const auto apart = static_cast<unsigned>(left - right + 1); // 0, 1 or 2 is fine
            if (apart > 2)
                at = balance(*at, left > right);
            else
                A::height(*at) = static_cast<uint8_t>(1 + (left > right ? left : right));
            if (A::height(*at) == was) return;
        }
    }

    T* balance(T& at, bool left_is_higher) {
        T& child = left_is_higher ? *A::left(at) : *A::right(at);
        const int outer = height(left_is_higher ? A::left(child) : A::right(child));
        const int inner = height(left_is_higher ? A::right(child) : A::left(child));
        if (inner > outer) rotate(child, !left_is_higher);
        return rotate(at, left_is_higher);
    }

    /// The child on the `left` (else right) side comes up; the answer is that child.
    T* rotate(T& at, bool left) {
        T& up = left ? *A::left(at) : *A::right(at);
        T* const middle = left ? A::right(up) : A::left(up);
        hang(A::parent(at), &at, &up);
        (left ? A::left(at) : A::right(at)) = middle;
        if (middle != nullptr) A::parent(*middle) = &at;
        (left ? A::right(up) : A::left(up)) = &at;
        A::parent(at) = &up;
        set_height(at);
        (void)A::update(at);
        set_height(up);
        (void)A::update(up);
        return &up;
    }

    T* root_{};
};
