/* QEMU TCG plugin: finds lines of RAM that the kernel code of two vCPUs touches and one writes.
 * README.md says what for. */
#include "../count/qemu_plugin.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int qemu_plugin_version = 1;

enum { LINE_BITS = 6, BLOCK_LINES = (2 << 20) >> LINE_BITS, MAX_CPUS = 256, MAX_REPORTS = 1000 };

/* What is known of one line. Eight bytes, so that it can be read in one go. */
struct line {
    uint16_t owner; /* the vCPU that touched it first, plus one */
    uint8_t written, shared, reported;
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct line) == 8, "read in one go");

static struct {
    uint64_t loads, stores;
} __attribute__((aligned(64))) vcpus[MAX_CPUS];

static struct report {
    uint64_t line, owner_pc, pc;
    unsigned owner, vcpu;
} reports[MAX_REPORTS];

static struct line *lines;
static uint64_t *first_pc; /* by line: where the owner touched it */
static uint64_t line_count, beyond;
static size_t report_count, more_reports;
static uint64_t kernel_from = 1ull << 63;
static uint64_t mem_mb = 1024;
static int cpus;
static const char *out_path;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void report(struct line *line, uint64_t index, unsigned vcpu, uint64_t pc) {
    if (line->reported) return;
    line->reported = 1;
    if (report_count == MAX_REPORTS) {
        more_reports++;
        return;
    }
    reports[report_count++] = (struct report){
        index << LINE_BITS, first_pc[index], pc, line->owner - 1u, vcpu
    };
}

/* Called with the lock held. */
static void touch(uint64_t index, unsigned vcpu, uint64_t pc, bool store) {
    struct line *line = &lines[index];
    if (!line->owner) {
        line->owner = (uint16_t)(vcpu + 1);
        first_pc[index] = pc;
    }
    if (line->owner != vcpu + 1) line->shared = 1;
    if (store && !line->written && line->owner == vcpu + 1) first_pc[index] = pc;
    if (store) line->written = 1;
    if (line->shared && line->written) report(line, index, vcpu, pc);
}

static bool find_line(uint32_t info, uint64_t address, uint64_t *index) {
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
    if (!where || qemu_plugin_hwaddr_is_io(where)) return false;
    *index = qemu_plugin_hwaddr_phys_addr(where) >> LINE_BITS;
    if (*index < line_count) return true;
    __atomic_fetch_add(&beyond, 1, __ATOMIC_RELAXED);
    return false;
}

static void on_access(unsigned vcpu, uint32_t info, uint64_t address, void *data) {
    uint64_t index, pc = (uint64_t)(uintptr_t)data;
    bool store = qemu_plugin_mem_is_store(info);
    /* A CPU driver reaches memory at kernel addresses only. QEMU 7.2 goes on reporting SYSRET or
     * IRET for the first accesses of the program behind it when these are made by a helper. */
    if (address < kernel_from) return;
    if (!find_line(info, address, &index)) return;
    if (store)
        vcpus[vcpu].stores++;
    else
        vcpus[vcpu].loads++;
    /* Nearly always it is the own line again, with nothing new to learn. */
    uint64_t raw = __atomic_load_n((uint64_t *)&lines[index], __ATOMIC_RELAXED);
    struct line line;
    memcpy(&line, &raw, sizeof line);
    if (line.owner == vcpu + 1 && !line.shared && (line.written || !store)) return;
    pthread_mutex_lock(&lock);
    touch(index, vcpu, pc, store);
    pthread_mutex_unlock(&lock);
}

/* The block changes its owner: what was touched before does not count from here on. */
static void on_block_given(unsigned vcpu, uint32_t info, uint64_t address, void *data) {
    (void)vcpu, (void)data;
    uint64_t index;
    if (!find_line(info, address, &index)) return;
    pthread_mutex_lock(&lock);
    index -= index % BLOCK_LINES;
    for (uint64_t i = index; i < index + BLOCK_LINES && i < line_count; i++)
        if (!lines[i].reported) lines[i] = (struct line){0};
    pthread_mutex_unlock(&lock);
}

/* CS and DS prefixes, twice, before a byte load: no compiler makes these. */
static bool is_block_given(const uint8_t *b, size_t n) {
    return n >= 6 && !memcmp(b, "\x2e\x3e\x2e\x3e\x8a", 5);
}

static void translate(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        uint64_t pc = qemu_plugin_insn_vaddr(insn);
        bool given = is_block_given(qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
        if (pc < kernel_from && !given) continue;
        qemu_plugin_register_vcpu_mem_cb(
            insn, given ? on_block_given : on_access, CB_NO_REGISTERS, MEMORY_READ_WRITE,
            (void *)(uintptr_t)pc
        );
    }
}

static void at_exit(plugin_id id, void *data) {
    (void)id, (void)data;
    FILE *f = fopen(out_path, "w");
    if (!f) return;
    for (int i = 0; i < cpus; i++)
        fprintf(f, "C %d %" PRIu64 " %" PRIu64 "\n", i, vcpus[i].loads, vcpus[i].stores);
    uint64_t read_by_many = 0;
    for (uint64_t i = 0; i < line_count; i++) read_by_many += lines[i].shared && !lines[i].written;
    fprintf(f, "R %" PRIu64 "\n", read_by_many);
    for (size_t i = 0; i < report_count; i++)
        fprintf(f, "X %" PRIx64 " %u %" PRIx64 " %u %" PRIx64 "\n", reports[i].line,
                reports[i].owner, reports[i].owner_pc, reports[i].vcpu, reports[i].pc);
    if (more_reports) fprintf(f, "M %zu\n", more_reports);
    if (beyond) fprintf(f, "B %" PRIu64 "\n", beyond);
    fclose(f);
}

static void *reserve(size_t bytes) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static bool take_option(const char *name, const char *value) {
    if (!strcmp(name, "out")) out_path = strdup(value);
    else if (!strcmp(name, "from")) kernel_from = strtoull(value, NULL, 16);
    else if (!strcmp(name, "mem_mb")) mem_mb = strtoull(value, NULL, 10);
    else return false;
    return true;
}

int qemu_plugin_install(plugin_id id, const struct plugin_info *info, int argc, char **argv) {
    cpus = info->system && info->machine.cpus < MAX_CPUS ? info->machine.cpus : MAX_CPUS;
    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value) *value++ = 0;
        if (!value || !take_option(argv[i], value)) {
            fprintf(stderr, "isolation: unknown option %s\n", argv[i]);
            return -1;
        }
    }
    line_count = mem_mb << (20 - LINE_BITS);
    lines = reserve(line_count * sizeof *lines);
    first_pc = reserve(line_count * sizeof *first_pc);
    if (!out_path || !lines || !first_pc) {
        fprintf(stderr, out_path ? "isolation: no memory\n" : "isolation: out=FILE is needed\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
