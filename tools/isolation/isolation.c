/* QEMU TCG plugin: finds lines of RAM that the kernel code of two vCPUs touches and one writes.
 * README.md says what for. */
#include <inttypes.h>
#include <pthread.h>

#include "declared.h"

int qemu_plugin_version = 1;

enum { LINE_BITS = 6, BLOCK_LINES = (2 << 20) >> LINE_BITS, MAX_REPORTS = 1000 };

/* What is known of one line. Eight bytes, so that it can be read in one go. */
struct line {
    uint16_t owner; /* the vCPU whose kernel touched it first, plus one */
    uint8_t written, shared, reported;
    uint8_t reserved;
    uint16_t writer; /* of a channel's line: which program of which vCPU, plus one */
};
_Static_assert(sizeof(struct line) == 8, "read in one go");

static struct {
    uint64_t loads, stores;
} __attribute__((aligned(64))) vcpus[MAX_CPUS];

static struct report {
    const char *what;
    uint64_t line, owner_pc, pc;
    unsigned owner, vcpu;
} reports[MAX_REPORTS];

/* What was seen, beside accesses. */
static struct {
    uint64_t blocks_given, blocks_taken, cleared; /* lines whose history a move ended */
    uint64_t channels, channel_lines, user_stores;
    uint64_t queues, buffers, transfers, buffer_accesses;
} seen;

static struct line *lines;
static uint64_t *first_pc; /* by line: where the owner touched it */
static uint16_t *giver;    /* by block: the vCPU that gave it up, plus one; 0: it was taken */
static const uint8_t *ram; /* the guest's, for queues */
static uint64_t user_from; /* user accesses below are of private memory */
static uint64_t line_count, beyond;
static size_t report_count, more_reports;
static uint64_t kernel_from = 1ull << 63;
static uint64_t mem_mb = 1024;
static int cpus;
static const char *out_path, *ram_path;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void report(
    const char *what, uint64_t index, unsigned owner, uint64_t owner_pc, unsigned vcpu, uint64_t pc
) {
    if (lines[index].reported) return;
    lines[index].reported = 1;
    if (report_count == MAX_REPORTS) {
        more_reports++;
        return;
    }
    reports[report_count++] = (struct report){
        what, index << LINE_BITS, owner_pc, pc, owner, vcpu
    };
}

/* Called with the lock held. */
static void touch(uint64_t index, unsigned vcpu, uint64_t pc, bool store) {
    struct line *line = &lines[index];
    if (giver[index / BLOCK_LINES] == vcpu + 1) report("given", index, vcpu, pc, vcpu, pc);
    if (!line->owner) {
        line->owner = (uint16_t)(vcpu + 1);
        first_pc[index] = pc;
    }
    if (line->owner != vcpu + 1) line->shared = 1;
    if (store && !line->written && line->owner == vcpu + 1) first_pc[index] = pc;
    if (store) line->written = 1;
    if (line->shared && line->written)
        report("shared", index, line->owner - 1u, first_pc[index], vcpu, pc);
}

static bool find_line(uint32_t info, uint64_t address, uint64_t *index) {
    uint64_t at;
    if (!physical(info, address, &at)) return false;
    *index = at >> LINE_BITS;
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

/* The block changes its owner: what was touched before does not count from here on. Who gave it up
 * may not touch it again until somebody has taken it, or it was given back. */
static void on_block_moved(unsigned vcpu, uint32_t info, uint64_t address, void *data) {
    uint64_t index;
    bool given = (enum mark)(uintptr_t)data == BLOCK_GIVEN;
    if (!find_line(info, address, &index)) return;
    pthread_mutex_lock(&lock);
    index -= index % BLOCK_LINES;
    for (uint64_t i = index; i < index + BLOCK_LINES && i < line_count; i++) {
        if (lines[i].reported) continue;
        seen.cleared += lines[i].owner != 0;
        lines[i] = (struct line){.writer = lines[i].writer};
    }
    giver[index / BLOCK_LINES] = given ? (uint16_t)(vcpu + 1) : 0;
    if (given) seen.blocks_given++;
    else seen.blocks_taken++;
    pthread_mutex_unlock(&lock);
}

#include "user.h"

static void translate(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        uint64_t pc = qemu_plugin_insn_vaddr(insn);
        enum mark mark = mark_of(qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
        memory_callback callback = pc < kernel_from ? on_user_access : on_access;
        void *data = (void *)(uintptr_t)pc;
        if (mark) {
            callback = mark >= USE_CHANNEL ? on_use : on_block_moved;
            data = (void *)(uintptr_t)mark;
        } else if (pc < kernel_from && !ram) {
            continue;
        }
        qemu_plugin_register_vcpu_mem_cb(
            insn, callback, CB_NO_REGISTERS, MEMORY_READ_WRITE, data
        );
    }
}

static void at_exit(plugin_id id, void *data) {
    (void)id, (void)data;
    FILE *f = fopen(out_path, "w");
    if (!f) return;
    for (int i = 0; i < cpus; i++)
        fprintf(f, "C %d %" PRIu64 " %" PRIu64 "\n", i, vcpus[i].loads, vcpus[i].stores);
    uint64_t read_by_many = 0, watched = 0;
    for (uint64_t i = 0; i < line_count; i++) {
        read_by_many += lines[i].shared && !lines[i].written;
        watched += lines[i].owner != 0;
    }
    fprintf(f, "R %" PRIu64 "\nW %" PRIu64 "\n", read_by_many, watched + seen.cleared);
    fprintf(f, "G %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", seen.blocks_given, seen.blocks_taken,
            seen.cleared);
    fprintf(f, "L %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", seen.channels, seen.channel_lines,
            seen.user_stores);
    fprintf(f, "Q %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", seen.queues, seen.buffers,
            seen.transfers, seen.buffer_accesses);
    for (size_t i = 0; i < report_count; i++)
        fprintf(f, "X %s %" PRIx64 " %u %" PRIx64 " %u %" PRIx64 "\n", reports[i].what,
                reports[i].line, reports[i].owner, reports[i].owner_pc, reports[i].vcpu,
                reports[i].pc);
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
    else if (!strcmp(name, "ram")) ram_path = value;
    else if (!strcmp(name, "user_from")) user_from = strtoull(value, NULL, 16);
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
    giver = reserve((line_count / BLOCK_LINES + 1) * sizeof *giver);
    bool ready = lines && first_pc && giver && begin_ranges(mem_mb << 20);
    if (ram_path) ready = (ram = open_ram(ram_path, mem_mb << 20)) && ready;
    if (!out_path || !ready) {
        fprintf(stderr, out_path ? "isolation: no memory\n" : "isolation: out=FILE is needed\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
