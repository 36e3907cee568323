// An intrusive doubly linked list: the links live in the objects, so nothing is allocated and an
// object leaves in O(1). The list is a ring of T*, so a linked object never has a null link.
#pragma once

#include <cstddef>

#include "lib/base/invariant.hpp"

/// A member of T for each list that T can be on: `ListHook<T> ready_hook;`
template <class T>
class ListHook {
  public:
    constexpr ListHook() = default;
    ListHook(const ListHook&) = delete; // neighbours hold the owner's address
    ListHook& operator=(const ListHook&) = delete;

    constexpr bool linked() const { return next_ != nullptr; }

  private:
    template <class U, ListHook<U> U::*>
    friend class List;
    T* next_{};
    T* prev_{};
};

template <class T, ListHook<T> T::* Hook>
class List {
  public:
    constexpr List() = default;
    List(const List&) = delete;
    List& operator=(const List&) = delete;

    constexpr bool empty() const { return head_ == nullptr; }

    constexpr T* front() const { return head_; }

    constexpr T* back() const { return head_ == nullptr ? nullptr : link(*head_).prev_; }

    constexpr void push_back(T& item) { insert(item, false); }

    constexpr void push_front(T& item) { insert(item, true); }

    /// `before` is on this list.
    constexpr void insert_before(T& before, T& item) {
        T* const head = head_;
        head_ = &before;
        insert(item, head == &before);
        if (head != &before) head_ = head;
    }

    /// `item` is on this list, not on another one through the same hook.
    constexpr void remove(T& item) {
        INVARIANT(link(item).linked(), "only what is on the list can leave it");
        T* const next = link(item).next_;
        if (next == &item) {
            head_ = nullptr;
        } else {
            T* const prev = link(item).prev_;
            link(*prev).next_ = next;
            link(*next).prev_ = prev;
            if (head_ == &item) head_ = next;
        }
        link(item).next_ = link(item).prev_ = nullptr;
    }

    /// `fresh` takes the place of `old`, which leaves.
    constexpr void replace(T& old, T& fresh) {
        INVARIANT(link(old).linked() && !link(fresh).linked(), "one leaves and one comes");
        T* const next = link(old).next_;
        T* const prev = link(old).prev_;
        const bool alone = next == &old;
        link(fresh).next_ = alone ? &fresh : next;
        link(fresh).prev_ = alone ? &fresh : prev;
        if (!alone) link(*prev).next_ = link(*next).prev_ = &fresh;
        if (head_ == &old) head_ = &fresh;
        link(old).next_ = link(old).prev_ = nullptr;
    }

    constexpr T* pop_front() {
        T* const first = head_;
        if (first != nullptr) remove(*first);
        return first;
    }

    /// The item after `item`, or nullptr after the last. Ask before removing `item`.
    constexpr T* next(const T& item) const {
        T* const after = link(item).next_;
        return after == head_ ? nullptr : after;
    }

    class Iterator {
      public:
        constexpr Iterator(const List* list, T* at) : list_{list}, at_{at} {}

        constexpr T& operator*() const { return *at_; }

        constexpr bool operator==(const Iterator& other) const { return at_ == other.at_; }

        constexpr Iterator& operator++() {
            at_ = list_->next(*at_);
            return *this;
        }

      private:
        const List* list_;
        T* at_;
    };

    constexpr Iterator begin() const { return {this, head_}; }

    constexpr Iterator end() const { return {this, nullptr}; }

  private:
    static constexpr ListHook<T>& link(T& item) { return item.*Hook; }

    static constexpr const ListHook<T>& link(const T& item) { return item.*Hook; }

    constexpr void insert(T& item, bool in_front) {
        INVARIANT(!link(item).linked(), "an item is on one list at a time through one hook");
        if (head_ == nullptr) {
            link(item).next_ = link(item).prev_ = head_ = &item;
            return;
        }
        T* const last = link(*head_).prev_;
        link(item).next_ = head_;
        link(item).prev_ = last;
        link(*last).next_ = &item;
        link(*head_).prev_ = &item;
        if (in_front) head_ = &item;
    }

    T* head_{};
};
