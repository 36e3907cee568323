/* QEMU TCG plugin: writes down every line that the guest puts into a channel. README.md says what
 * for, lines.py reads the records. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "../isolation/declared.h"

int qemu_plugin_version = 1;

enum { MEMORY_WRITE = 2 };

struct record {
    uint64_t ns;
    uint32_t channel, line;
    uint16_t lines;
    uint8_t vcpu, direction, reserved[4];
    uint8_t bytes[64];
};
_Static_assert(sizeof(struct record) == 88, "as lines.py reads it");

static const uint8_t *ram;
static uint64_t ram_bytes;
static FILE *out;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* After the store: the line is whole when its control word is there. */
static void on_store(unsigned vcpu, uint32_t info, uint64_t address, void *data) {
    (void)data;
    uint64_t at;
    if (!qemu_plugin_mem_is_store(info)) return; /* QEMU 7.2 tells of some loads all the same */
    if ((address & 63) != 56 || !physical(info, address, &at) || at >= ram_bytes) return;
    uint32_t channel = range_at(at);
    if (!channel || ranges[channel].use != USE_CHANNEL) return;
    uint64_t offset = at - ranges[channel].begin;
    if (offset < 128) return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint32_t line = (uint32_t)((offset - 128) / 64), lines = lines_of(&ranges[channel]);
    struct record r = {
        .ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, .channel = channel,
        .line = line % lines, .lines = (uint16_t)lines, .vcpu = (uint8_t)vcpu,
        .direction = line >= lines,
    };
    memcpy(r.bytes, ram + (at & ~63ull), 64);
    pthread_mutex_lock(&lock);
    fwrite(&r, sizeof r, 1, out);
    pthread_mutex_unlock(&lock);
}

static void on_mark(unsigned vcpu, uint32_t info, uint64_t address, void *data) {
    uint64_t at, begin, end;
    enum mark mark = (enum mark)(uintptr_t)data;
    if (!physical(info, address, &at)) return;
    pthread_mutex_lock(&lock);
    if (both_operands(vcpu, at, &begin, &end)) {
        if (mark == USE_NOTHING) end_ranges(begin, end);
        else declare(mark, begin, end);
    }
    pthread_mutex_unlock(&lock);
}

static void translate(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        enum mark mark = mark_of(qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
        if (mark >= USE_CHANNEL)
            qemu_plugin_register_vcpu_mem_cb(
                insn, on_mark, CB_NO_REGISTERS, MEMORY_READ_WRITE, (void *)(uintptr_t)mark
            );
        else if (qemu_plugin_insn_vaddr(insn) < 1ull << 63)
            qemu_plugin_register_vcpu_mem_cb(insn, on_store, CB_NO_REGISTERS, MEMORY_WRITE, NULL);
    }
}

static void at_exit(plugin_id id, void *data) {
    (void)id, (void)data;
    fclose(out);
}

int qemu_plugin_install(plugin_id id, const struct plugin_info *info, int argc, char **argv) {
    (void)info;
    const char *file = NULL, *memory = NULL;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4)) file = argv[i] + 4;
        else if (!strncmp(argv[i], "ram=", 4)) memory = argv[i] + 4;
        else if (!strncmp(argv[i], "mem_mb=", 7)) ram_bytes = strtoull(argv[i] + 7, NULL, 10) << 20;
    }
    if (file) out = fopen(file, "w");
    if (memory) ram = open_ram(memory, ram_bytes);
    if (!out || !ram || !begin_ranges(ram_bytes)) {
        fprintf(stderr, "messages: out=FILE, ram=FILE and mem_mb=N are needed\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
