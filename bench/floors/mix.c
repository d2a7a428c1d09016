/* SPDX-License-Identifier: Apache-2.0 */
/* Micro-kernels of any mix of instructions. The assembler makes eight instances of each kind, side
 * by side; a mix is a loop put together of copies of them, which works because none refers to its
 * own address. Rounds of 50 us and the least of many: the VM's fast minutes. */
#include "floors.h"
#include "../timing.h"

#define X(name, text, ...) text,
const char *const ng_kind_names[NG_KINDS_COUNT] = {NG_KINDS(X)};
#undef X

#if defined(__x86_64__)
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { INSTANCES = 8, CODE = 64 << 10, ORDERS = 4, SAMPLES = 15, LOOP_LEAST = 50 };

/* Symbols piece_KIND_wide, piece_KIND_narrow and their ends. */
#define PIECE(symbol, registers, text)                                                             \
    __asm__(".pushsection .rodata\n" symbol ":\n.irp i," registers "\n" text "\n.endr\n" symbol    \
            "_end:\n.popsection\n");
#define X(name, text, registers, ...) PIECES(name, registers, __VA_ARGS__)
#define PIECES(name, registers, wide, narrow)                                                      \
    PIECE("piece_" #name "_wide", registers, wide)                                                 \
    PIECE("piece_" #name "_narrow", registers, narrow)
NG_KINDS(X)
#undef X

typedef struct piece {
    const unsigned char *from, *end;
} piece;
#define X(name, ...)                                                                               \
    extern const unsigned char piece_##name##_wide[], piece_##name##_wide_end[];                   \
    extern const unsigned char piece_##name##_narrow[], piece_##name##_narrow_end[];
NG_KINDS(X)
#undef X
static const piece pieces[2][NG_KINDS_COUNT] = {
#define X(name, ...) {piece_##name##_narrow, piece_##name##_narrow_end},
    {NG_KINDS(X)},
#undef X
#define X(name, ...) {piece_##name##_wide, piece_##name##_wide_end},
    {NG_KINDS(X)}
#undef X
};

/* What comes before the loop: rsi points at two vectors for the sources and the accumulators. */
#define FILL(r, width)                                                                             \
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12\nvmovups (%rsi), %" width "mm\\i\n.endr\n"                \
    "vmovups 64(%rsi), %" width "mm13\nvmovups 64(%rsi), %" width "mm14\n"
PIECE("piece_start_wide", "0", FILL(0, "z") "movl $0x5555, %eax\nkmovw %eax, %k1")
PIECE("piece_start_narrow", "0", FILL(0, "y"))
extern const unsigned char piece_start_wide[], piece_start_wide_end[];
extern const unsigned char piece_start_narrow[], piece_start_narrow_end[];
static const piece starts[2] = {{piece_start_narrow, piece_start_narrow_end},
                                {piece_start_wide, piece_start_wide_end}};

typedef void (*loop)(size_t rounds, const float *sources, float *target);

static struct {
    const ng_isa *isa;
    bool wide;
    unsigned char *code;
} mix;

bool ng_mix_init(const ng_cpu *cpu) {
    void *p = mmap(NULL, CODE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mix.isa = cpu->isa;
    mix.wide = cpu->isa->max_vec == 512;
    mix.code = p == MAP_FAILED ? NULL : p;
    return mix.code && cpu->isa->max_vec >= 256;
}

int ng_mix_bits(void) { return mix.wide ? 512 : 256; }

bool ng_mix_has(ng_kind kind) {
    if (kind == NG_KIND_TO_BF16 && !mix.isa->native_bf16) return false;
    return pieces[mix.wide][kind].from != pieces[mix.wide][kind].end;
}

static unsigned char *append(unsigned char *at, const void *bytes, size_t n) {
    memcpy(at, bytes, n);
    return at + n;
}

/* start; loop: the instructions; dec %rdi; jnz loop; vzeroupper; ret */
static loop assemble(const uint8_t *order, int n) {
    size_t used[NG_KINDS_COUNT] = {0};
    const piece *start = &starts[mix.wide];
    mprotect(mix.code, CODE, PROT_READ | PROT_WRITE);
    unsigned char *at = append(mix.code, start->from, (size_t)(start->end - start->from));
    unsigned char *first = at;
    for (int i = 0; i < n; i++) {
        const piece *p = &pieces[mix.wide][order[i]];
        size_t size = (size_t)(p->end - p->from) / INSTANCES;
        at = append(at, p->from + used[order[i]]++ % INSTANCES * size, size);
    }
    at = append(at, "\x48\xff\xcf\x0f\x85", 5);
    int32_t back = (int32_t)(first - (at + 4));
    at = append(at, &back, sizeof back);
    append(at, "\xc5\xf8\x77\xc3", 4);
    mprotect(mix.code, CODE, PROT_READ | PROT_EXEC);
    loop f;
    memcpy(&f, &mix.code, sizeof f);
    return f;
}

static double least(loop f, size_t rounds) {
    static _Alignas(64) float sources[32], target[64];
    double best = 0;
    for (int i = 0; i < 32; i++) sources[i] = i < 16 ? 1.25f : 0.75f;
    for (int i = 0; i < SAMPLES; i++) {
        double start = now_ns();
        f(rounds, sources, target);
        double ns = (now_ns() - start) / (double)rounds;
        if (i == 0 || ns < best) best = ns;
    }
    return best;
}

/* Each kind evenly spread over the loop: always what is furthest behind its share. */
static void spread(const int *count, int n, uint8_t *order) {
    int done[NG_KINDS_COUNT] = {0};
    for (int i = 0; i < n; i++) {
        int best = -1;
        double most = -1;
        for (int k = 0; k < NG_KINDS_COUNT; k++) {
            double behind = (double)count[k] * (i + 1) / n - done[k];
            if (done[k] < count[k] && behind > most) most = behind, best = k;
        }
        order[i] = (uint8_t)best;
        done[best]++;
    }
}

static void shuffle(uint8_t *order, int n, uint64_t *state) {
    for (int i = n - 1; i > 0; i--) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        int j = (int)((*state >> 33) % (uint64_t)(i + 1));
        uint8_t t = order[i];
        order[i] = order[j], order[j] = t;
    }
}

double ng_mix_ns(const int count[NG_KINDS_COUNT]) {
    uint8_t order[NG_MIX_MOST + 1];
    int n = 0, whole;
    double best = 0;
    uint64_t state = 1;
    for (int k = 0; k < NG_KINDS_COUNT; k++) n += count[k];
    if (n == 0 || n > NG_MIX_MOST) return 0;
    whole = (LOOP_LEAST + n - 1) / n; /* so that the loop's own two instructions do not count */
    size_t rounds = 20000 / (size_t)n + 200;
    int many[NG_KINDS_COUNT];
    for (int k = 0; k < NG_KINDS_COUNT; k++) many[k] = count[k] * whole;
    for (int i = 0; i < ORDERS; i++) {
        if (i == 0)
            spread(many, n * whole, order);
        else
            shuffle(order, n * whole, &state);
        double ns = least(assemble(order, n * whole), rounds) / whole;
        if (i == 0 || ns < best) best = ns;
    }
    return best;
}

double ng_cycle_ns(void) {
    enum { ROUNDS = 4000, CHAIN = 32 };
    double best = 0;
    for (int i = 0; i < 50; i++) {
        size_t n = ROUNDS, sum = 0;
        double start = now_ns();
        /* Of two registers: Golden Cove adds constants while it renames, up to six of a chain a
         * cycle. */
        __asm__ volatile("1:\n.rept 32\nadd %2, %0\n.endr\ndec %1\njnz 1b"
                         : "+r"(sum), "+r"(n)
                         : "r"((size_t)1));
        double ns = (now_ns() - start) / (double)(ROUNDS * CHAIN);
        if (i == 0 || ns < best) best = ns;
    }
    return best;
}
#else
bool ng_mix_init(const ng_cpu *cpu) {
    (void)cpu;
    return false;
}
bool ng_mix_has(ng_kind kind) {
    (void)kind;
    return false;
}
int ng_mix_bits(void) { return 0; }
double ng_mix_ns(const int count[NG_KINDS_COUNT]) {
    (void)count;
    return 0;
}
double ng_cycle_ns(void) { return 0; }
#endif
