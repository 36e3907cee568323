/* Optional: the guest's TSC, and its timers, go by the simulated clock.
 * The accelerator-operations class is reachable by name because Debian builds
 * QEMU with modules and so exports every symbol; offset 0xc0 is
 * get_elapsed_ticks in 7.2 (checked against cpus_get_elapsed_ticks' code). */
#pragma once

#include <dlfcn.h>
#include <string.h>

#include "order.h"

static int64_t sim_ns(void);
static int64_t tsc_off;

static int64_t sim_ticks(void) {
    if (o.tsc == 2) {
        if (!detailed) return (__int128)sim_ns() * o.mhz / 1000;
        return ((me >= 0 ? vc[me].clk : tnow) >> SH) + tsc_off;
    }
    return ((me >= 0 ? vc[me].clk : tnow) >> SH) + 1;
}

/* tsc=2: timers too.  While simulating, QEMU's virtual clock is the simulated
 * time; otherwise it is host time.  The offsets keep it continuous over the switches. */
static int64_t ns_off, host_off;

static int64_t host_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int64_t cyc_ns(uint64_t clk) {
    return (__int128)(clk >> SH) * 1000 / o.mhz;
}

static int64_t sim_ns(void) {
    return detailed ? ns_off + cyc_ns(tnow) : host_ns() - host_off;
}

static void time_switch(int on) /* called with mx held, before `detailed` changes */
{
    int64_t now = sim_ns();
    if (on) {
        ns_off = now - cyc_ns(tnow);
        tsc_off = (__int128)now * o.mhz / 1000 - (tnow >> SH);
    } else
        host_off = host_ns() - now;
}

/* QEMU's main loop, which runs timers, and vCPUs that are halted. */
static void hook_idle(void) {
    *(void**)&qemu.all_idle = dlsym(RTLD_DEFAULT, "all_cpu_threads_idle");
    *(void**)&qemu.cpu = dlsym(RTLD_DEFAULT, "qemu_get_cpu");
    *(void**)&qemu.notify = dlsym(RTLD_DEFAULT, "qemu_clock_notify");
    *(void**)&qemu.lock = dlsym(RTLD_DEFAULT, "qemu_mutex_lock_iothread_impl");
    *(void**)&qemu.unlock = dlsym(RTLD_DEFAULT, "qemu_mutex_unlock_iothread");
    void* deadline = dlsym(RTLD_DEFAULT, "qemu_clock_deadline_ns_all");
    void* is_idle = dlsym(RTLD_DEFAULT, "cpu_thread_is_idle");
    if (!qemu.all_idle || !qemu.cpu || !qemu.notify || !qemu.lock || !qemu.unlock || !deadline ||
        !is_idle) {
        fprintf(stderr, "coherence: no idle time in this QEMU: sleeping is not simulated\n");
        return;
    }
    *(void**)&qemu.deadline = deadline;
    *(void**)&qemu.is_idle = is_idle;
    pthread_t thread;
    pthread_create(&thread, 0, jumper, 0);
}

static void hook_tsc(void) {
    void* (*byname)(const char*) = dlsym(RTLD_DEFAULT, "object_class_by_name");
    uint8_t* code = dlsym(RTLD_DEFAULT, "cpus_get_elapsed_ticks");
    static const uint8_t want[] = {0x48, 0x8b, 0x80, 0xc0, 0, 0, 0};
    if (!byname || !code || memcmp(code + 7, want, 7)) {
        fprintf(stderr, "coherence: TSC hook not possible in this QEMU\n");
        return;
    }
    char* cl = byname("tcg-accel-ops");
    if (!cl) {
        fprintf(stderr, "coherence: no tcg-accel-ops\n");
        return;
    }
    host_off = host_ns();
    if (o.detail) ns_off = 1;
    *(void**)(cl + 0xc0) = sim_ticks;
    if (o.tsc == 2) *(void**)(cl + 0xb8) = sim_ns;
    if (o.tsc == 2) hook_idle();
}
