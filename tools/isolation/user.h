/* The user half of isolation.c: a channel's line has one writer, a queue's buffer one owner at a
 * time. Who somebody is: which vCPU, and which program (domains are linked 16 MiB apart). */

enum { WHO_NOBODY, RINGS = 4, SLOT_BYTES = 16, BUFFER_BYTES = 2048, MAX_QUEUES = 64 };
enum side { STACK, DRIVER, UNKNOWN };

/* An area of lib/netq, divided as netq::Layout does. */
static struct queue {
    uint32_t range;
    uint64_t begin, pool;
    uint32_t slots, buffers;
    uint32_t sent[RINGS];     /* descriptors seen, by ring */
    uint16_t who[2];          /* by side, once it has sent something */
    uint64_t who_pc[2];       /* where it last did */
    uint8_t owner[1 << 15];   /* by buffer: enum side */
} *queues[MAX_QUEUES];
static size_t queue_count;

static uint16_t who_is(unsigned vcpu, uint64_t pc) {
    return (uint16_t)(vcpu << 8 | ((pc >> 24) & 0xff)) + 1;
}

static uint64_t round_up_to(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }

static void begin_queue(uint32_t range) {
    struct queue *q = queue_count < MAX_QUEUES ? calloc(1, sizeof *q) : NULL;
    if (!q) {
        beyond++;
        return;
    }
    uint64_t bytes = ranges[range].end - ranges[range].begin, most = bytes / BUFFER_BYTES;
    for (q->slots = 1; q->slots < most; q->slots *= 2) {}
    uint64_t rings = RINGS * 64 + (uint64_t)RINGS * q->slots * SLOT_BYTES;
    q->begin = ranges[range].begin;
    q->pool = q->begin + round_up_to(rings, BUFFER_BYTES);
    uint64_t left = (ranges[range].end - q->pool) / BUFFER_BYTES;
    q->buffers = (uint32_t)(left < q->slots ? left : q->slots);
    q->range = range;
    memset(q->owner, UNKNOWN, sizeof q->owner);
    queues[queue_count++] = q;
    seen.queues++;
    seen.buffers += q->buffers;
}

static uint64_t word_at(uint64_t at) {
    return __atomic_load_n((const uint64_t *)(ram + at), __ATOMIC_ACQUIRE);
}

/* The senders of rings 0 and 2 are the stack, of 1 and 3 the driver. */
static enum side sender_of(unsigned ring) { return ring % 2 ? DRIVER : STACK; }

/* Takes note of all descriptors that are in the rings: whoever acts on one has read it before, so
 * this may run at any access, and order between vCPUs does not matter. */
static void catch_up(struct queue *q) {
    for (unsigned ring = 0; ring < RINGS; ring++)
        for (;;) {
            uint64_t at = q->begin + RINGS * 64 +
                          ((uint64_t)ring * q->slots + q->sent[ring] % q->slots) * SLOT_BYTES;
            if ((uint32_t)word_at(at + 8) != q->sent[ring] + 1) break;
            uint32_t buffer = (uint32_t)word_at(at);
            q->sent[ring]++;
            seen.transfers++;
            if (buffer < q->buffers) q->owner[buffer] = sender_of(ring) == STACK ? DRIVER : STACK;
        }
}

static void on_queue(struct queue *q, uint64_t at, unsigned vcpu, uint64_t pc, bool store) {
    uint16_t who = who_is(vcpu, pc);
    uint64_t rings = q->begin + RINGS * 64;
    if (at < q->pool) {
        if (!store || at < rings || at % SLOT_BYTES != 8) return;
        uint64_t ring = (at - rings) / SLOT_BYTES / q->slots;
        if (ring >= RINGS) return;
        catch_up(q);
        q->who[sender_of((unsigned)ring)] = who;
        q->who_pc[sender_of((unsigned)ring)] = pc;
        return;
    }
    uint64_t buffer = (at - q->pool) / BUFFER_BYTES;
    if (buffer >= q->buffers) return;
    seen.buffer_accesses++;
    unsigned owner = q->owner[buffer];
    if (owner == UNKNOWN || !q->who[owner] || q->who[owner] == who) return;
    catch_up(q);
    owner = q->owner[buffer];
    if (!q->who[owner] || q->who[owner] == who) return;
    report("buffer", at >> LINE_BITS, (q->who[owner] - 1u) >> 8, q->who_pc[owner], vcpu, pc);
}

static void on_user_access(unsigned vcpu, uint32_t info, uint64_t address, void *data) {
    uint64_t at, pc = (uint64_t)(uintptr_t)data;
    if (address < user_from || address >= kernel_from || !physical(info, address, &at)) return;
    uint32_t range = range_at(at);
    if (!range) return;
    bool store = qemu_plugin_mem_is_store(info);
    if (ranges[range].use == USE_CHANNEL && !store) return;
    pthread_mutex_lock(&lock);
    if (range != range_at(at)) { /* it ended while we waited */
    } else if (ranges[range].use == USE_CHANNEL) {
        uint64_t index = at >> LINE_BITS;
        uint16_t who = who_is(vcpu, pc), *writer = &lines[index].writer;
        seen.user_stores++;
        if (!*writer) {
            seen.channel_lines++;
            *writer = who;
            first_pc[index] = pc;
        }
        if (*writer != who)
            report("channel", index, (*writer - 1u) >> 8, first_pc[index], vcpu, pc);
    } else {
        for (size_t i = 0; i < queue_count; i++)
            if (queues[i]->range == range) on_queue(queues[i], at, vcpu, pc, store);
    }
    pthread_mutex_unlock(&lock);
}

static void forget_writers(uint64_t page, uint64_t last) {
    for (; page <= last && page < declared_pages; page++)
        if (range_of_page[page])
            for (uint64_t i = page << 6; i < (page + 1) << 6; i++) lines[i].writer = 0;
}

/* Memory is a channel's or a queue's from here on, or neither: its lines are nobody's. */
static void on_use(unsigned vcpu, uint32_t info, uint64_t address, void *data) {
    uint64_t at, begin, end;
    enum mark mark = (enum mark)(uintptr_t)data;
    if (!physical(info, address, &at)) return;
    pthread_mutex_lock(&lock);
    if (both_operands(vcpu, at, &begin, &end)) {
        forget_writers(begin >> PAGE_BITS, (end - 1) >> PAGE_BITS);
        if (mark == USE_NOTHING) end_ranges(begin, end);
        else {
            uint32_t range = declare(mark, begin, end);
            if (!range) beyond++;
            else if (mark == USE_QUEUE) begin_queue(range);
            else seen.channels++;
        }
    }
    pthread_mutex_unlock(&lock);
}
