// The heap of threads in a domain that spans cores, seen from operator new.
#pragma once

#include <cstddef>

namespace os {

class SharedHeap {
  public:
    /// From a thread. Null when nothing is left.
    virtual void* allocate(size_t bytes) = 0;
    virtual bool owns(const void* memory) const = 0;
    virtual void release(void* memory) = 0;

  protected:
    ~SharedHeap() = default;
};

/// From now on it is what threads of this dispatcher allocate from.
void use_shared_heap(SharedHeap& of_threads);

} // namespace os
