/* Primitives of Linux, as usr/bench measures ours: each sample of an operation stands between
 * markers 16 and 17, and `sampled ID SAMPLES` says in which order they came. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest.h"

enum { WARM = 10, PAGE = 4096 };

typedef void (*Work)(void);

static int samples;

static void none(void) {
}

/* `before` brings back the state that `work` finds. */
static void take(const char *id, Work work, Work before) {
    for (int i = -WARM; i < samples; i++) {
        before();
        if (i < 0) {
            work();
            continue;
        }
        MARK(16);
        work();
        MARK(17);
    }
    printf("sampled %s %d\n", id, samples);
}

static void thousand_nops(void) {
    __asm__ volatile(".rept 1000\n\tnop\n\t.endr");
}

static void null_call(void) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_getppid) : "rcx", "r11", "memory");
}

static char *memory;

static void zero_page(void) {
    void *to = memory;
    long words = PAGE / 8;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(0) : "memory");
}

static char *fresh_page(void) {
    return mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void absent_page(void) {
    madvise(memory, PAGE, MADV_DONTNEED);
}

static void touch(void) {
    *(volatile char *)memory = 1;
}

static void map_touch_unmap(void) {
    char *page = fresh_page();
    *(volatile char *)page = 1;
    munmap(page, PAGE);
}

static void protect(void) {
    mprotect(memory, PAGE, PROT_READ);
}

static void unprotect(void) {
    mprotect(memory, PAGE, PROT_READ | PROT_WRITE);
    touch();
}

static int timer;

static void set_timer(void) {
    struct itimerspec on = {.it_value = {10, 0}};
    timerfd_settime(timer, 0, &on, 0);
}

static void cancel_timer(void) {
    struct itimerspec off = {0};
    timerfd_settime(timer, 0, &off, 0);
}

static void *end_at_once(void *given) {
    return given;
}

static void create_and_join(void) {
    pthread_t thread;
    if (pthread_create(&thread, 0, end_at_once, 0)) fatal("thread");
    pthread_join(thread, 0);
}

static void yield(void) {
    syscall(SYS_sched_yield);
}

static void spawn(void) {
    char *words[] = {"nothing", 0}, *environment[] = {0};
    pid_t child;
    if (posix_spawn(&child, "/nothing", 0, 0, words, environment)) fatal("spawn");
    waitpid(child, 0, 0);
}

/* Two processes: `ask` goes there and back. */

static struct Shared {
    _Alignas(64) _Atomic uint32_t asked;
    _Alignas(64) _Atomic uint32_t answered;
} *shared;

static int there[2], back[2];

static void ask_pipe(void) {
    char byte = 1;
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) fatal("pipe");
}

static void ask_event(void) {
    uint64_t one = 1;
    if (write(there[0], &one, 8) != 8 || read(back[0], &one, 8) != 8) fatal("eventfd");
}

static void ask_socket(void) {
    char byte = 1;
    if (write(there[0], &byte, 1) != 1 || read(there[0], &byte, 1) != 1) fatal("socket");
}

static void futex_wait(_Atomic uint32_t *word, uint32_t old) {
    syscall(SYS_futex, word, FUTEX_WAIT, old, 0, 0, 0);
}

static void futex_wake(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE, 1, 0, 0, 0);
}

static void await(_Atomic uint32_t *word, uint32_t value) {
    for (uint32_t seen; (seen = atomic_load(word)) != value;) futex_wait(word, seen);
}

static void ask_futex(void) {
    uint32_t turn = atomic_fetch_add(&shared->asked, 1) + 1;
    futex_wake(&shared->asked);
    await(&shared->answered, turn);
}

/* The sleeper has a higher priority: it has run and sleeps again before this returns. */
static void wake(void) {
    atomic_fetch_add(&shared->asked, 1);
    futex_wake(&shared->asked);
}

static void answer_stream(int in, int out, size_t bytes) {
    uint64_t word;
    while (read(in, &word, bytes) == (ssize_t)bytes && write(out, &word, bytes) > 0) {
    }
}

static void answer_pipe(void) {
    answer_stream(there[0], back[1], 1);
}

static void answer_event(void) {
    answer_stream(there[0], back[0], 8);
}

static void answer_socket(void) {
    answer_stream(there[1], there[1], 1);
}

static void answer_futex(void) {
    for (uint32_t turn = 1;; turn++) {
        await(&shared->asked, turn);
        atomic_store(&shared->answered, turn);
        futex_wake(&shared->answered);
    }
}

/* First come, first served, so that who yields goes behind the other. */
static void take_turns(int on) {
    struct sched_param parameter = {on};
    if (sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &parameter)) fatal("priority");
}

static void sleep_again(void) {
    take_turns(1);
    for (uint32_t seen = 0;; seen = atomic_load(&shared->asked)) futex_wait(&shared->asked, seen);
}

static void yield_for_ever(void) {
    for (;;) yield();
}

static void stay_on(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof set, &set)) fatal("affinity");
}

/* Measures `ask` while another process, on that processor, does `answer`. */
static void with_other(const char *id, Work ask, Work answer, int processor) {
    atomic_store(&shared->asked, 0);
    atomic_store(&shared->answered, 0);
    pid_t other = fork();
    if (other == 0) {
        stay_on(processor);
        answer();
        _exit(0);
    }
    usleep(20000); /* the other has begun to wait */
    take(id, ask, none);
    kill(other, SIGKILL);
    waitpid(other, 0, 0);
}

static void *yield_in_thread(void *stop) {
    while (!atomic_load((atomic_int *)stop)) yield();
    return 0;
}

static void two_threads(void) {
    atomic_int stop = 0;
    pthread_t thread;
    take_turns(1);
    if (pthread_create(&thread, 0, yield_in_thread, &stop)) fatal("thread");
    take("two_yields", yield, none);
    atomic_store(&stop, 1);
    pthread_join(thread, 0);
    take_turns(0);
}

static void pairs(int processor) {
    there[0] = eventfd(0, 0);
    back[0] = eventfd(0, 0);
    if (processor) {
        with_other("remote_event", ask_event, answer_event, processor);
        with_other("remote_futex", ask_futex, answer_futex, processor);
        return;
    }
    with_other("call_event", ask_event, answer_event, 0);
    with_other("call_futex", ask_futex, answer_futex, 0);
    if (pipe(there) || pipe(back)) fatal("pipe");
    with_other("call_pipe", ask_pipe, answer_pipe, 0);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, there)) fatal("socketpair");
    with_other("call_socket", ask_socket, answer_socket, 0);
    with_other("wake", wake, sleep_again, 0);
    take("yield_alone", yield, none);
    take_turns(1);
    with_other("yield_pair", yield, yield_for_ever, 0);
    take_turns(0);
}

static void alone(void) {
    take("nops", thousand_nops, none);
    take("null_call", null_call, none);
    take("zero_page", zero_page, none);
    take("page_fault", touch, absent_page);
    take("map_touch_unmap", map_touch_unmap, none);
    take("protect", protect, unprotect);
    take("timer_set", set_timer, cancel_timer);
    take("timer_cancel", cancel_timer, set_timer);
    take("thread_create_join", create_and_join, none);
    two_threads();
    take("spawn", spawn, none);
}

void measure(int wanted) {
    samples = wanted;
    stay_on(0);
    memory = fresh_page();
    timer = timerfd_create(CLOCK_MONOTONIC, 0);
    shared = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    take("empty", none, none);
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
        pairs(1);
        return;
    }
    alone();
    pairs(0);
}
