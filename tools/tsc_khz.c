/* Prints the frequency of the host's time-stamp counter in kHz. Under TCG the guest's RDTSC reads
 * this very counter; a guest that measured it itself on a busy host has been off by 16 times. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct reading {
    uint64_t tsc;
    int64_t ns;
};

/* Both clocks at one instant: of many tries the one least stretched by interruptions. */
static struct reading read_both(void) {
    struct reading best = {0, 0};
    uint64_t narrowest = UINT64_MAX;
    for (int i = 0; i < 64; i++) {
        struct timespec now;
        uint64_t before = __rdtsc();
        clock_gettime(CLOCK_MONOTONIC_RAW, &now);
        uint64_t width = __rdtsc() - before;
        if (width >= narrowest) continue;
        narrowest = width;
        best = (struct reading){before + width / 2, now.tv_sec * 1000000000ll + now.tv_nsec};
    }
    return best;
}

int main(void) {
    const struct timespec pause = {.tv_nsec = 200 * 1000 * 1000};
    struct reading first = read_both();
    nanosleep(&pause, NULL);
    struct reading last = read_both();
    printf("%.0f\n", (double)(last.tsc - first.tsc) * 1e6 / (double)(last.ns - first.ns));
    return 0;
}
