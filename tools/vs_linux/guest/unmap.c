/* munmap of a page that every processor has written to, by the clock of the coherence model
 * (tools/sim): the neighbour of tests/model/usr/cores/unmap.cpp, with the same rows. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "guest.h"

enum { PAGE = 4096, SAMPLES = 5, MOST = 64, SETTLE = 40000 };
enum { CALL_BEGIN = 1, CALL_END = 2, CALL_DETAIL = 4, CALL_ALIGN = 6 };

static int threads;
static pthread_barrier_t together;
static char *page;
static _Atomic uint64_t ready, gone;

/* As lib/os/model.hpp says it. */
static void model(uint64_t what, uint64_t argument) {
    struct {
        uint64_t what, argument, result;
        char name[40];
    } __attribute__((aligned(64))) block = {what, argument, 0, "cores"};
    __asm__ volatile(".byte 0x2e,0x3e,0x2e,0x3e\n\tmovq %%rax,(%%rbx)"
                     : : "a"(what), "b"(&block) : "memory");
}

static uint64_t clock_now(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static void settle(void) {
    for (uint64_t begun = clock_now(); clock_now() - begun < SETTLE;) __builtin_ia32_pause();
}

/* Everybody is awake before any waits in the model, which holds its processor still. */
static void align(void) {
    pthread_barrier_wait(&together);
    uint64_t mine = atomic_fetch_add(&ready, 1);
    while (atomic_load(&ready) < mine / (uint64_t)threads * (uint64_t)threads + (uint64_t)threads)
        __builtin_ia32_pause();
    model(CALL_ALIGN, (uint64_t)threads);
}

static uint64_t middle(uint64_t *taken) {
    for (int i = 1; i < SAMPLES; i++)
        for (int j = i; j > 0 && taken[j - 1] > taken[j]; j--) {
            uint64_t other = taken[j];
            taken[j] = taken[j - 1], taken[j - 1] = other;
        }
    return taken[SAMPLES / 2];
}

/* The first sample fills the caches; the others sleep, or look for its end. */
static void take(int self, int others_sleep) {
    static uint64_t pages;
    uint64_t taken[SAMPLES], mine = atomic_load(&gone);
    for (int i = 0; i <= SAMPLES; i++) {
        if (!self) page = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_barrier_wait(&together);
        page[self] = 1;
        if (i) pthread_barrier_wait(&together);
        else align();
        mine++;
        if (!self) {
            settle();
            uint64_t begun = clock_now();
            munmap(page, PAGE);
            if (i) taken[i - 1] = clock_now() - begun;
            atomic_store(&gone, ++pages);
        } else if (!others_sleep) {
            while (atomic_load(&gone) < mine) __builtin_ia32_pause();
        }
        pthread_barrier_wait(&together);
    }
    if (!self)
        printf("[linux] row way=%s samples=%d: cycles=%lu\n", others_sleep ? "asleep" : "polling",
               SAMPLES, middle(taken));
}

static void *body(void *given) {
    int self = (int)(intptr_t)given;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(self, &set);
    if (sched_setaffinity(0, sizeof set, &set)) fatal("affinity");
    pthread_barrier_wait(&together);
    if (!self) {
        model(CALL_DETAIL, 1);
        model(CALL_BEGIN, 0);
    }
    align();
    take(self, 1);
    take(self, 0);
    pthread_barrier_wait(&together);
    if (self) return 0;
    model(CALL_END, 0);
    model(CALL_DETAIL, 0);
    return 0;
}

void measure_unmap(int processors) {
    pthread_t others[MOST];
    threads = processors < MOST ? processors : MOST;
    pthread_barrier_init(&together, 0, (unsigned)threads);
    for (intptr_t i = 1; i < threads; i++)
        if (pthread_create(&others[i], 0, body, (void *)i)) fatal("thread");
    body(0);
    for (int i = 1; i < threads; i++) pthread_join(others[i], 0);
}
