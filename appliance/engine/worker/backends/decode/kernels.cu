// What a step on a card does between its matrix products, each in one launch.
//
// Compiled for one model at a time. The compiler is told:
//   BF16         1: numbers are bfloat16, 0: they are IEEE half precision
//   WIDTH        of hidden states
//   HEADS, SHARED, SIZE  query heads, heads of keys and values, numbers a head
//   PAGE         tokens a page of the cache
//   NORMED       1: queries and keys have norms of their own
//
// Rounding follows transformers: a norm is rounded before its weight, a sum before its norm.

typedef unsigned short Half;

#define GROUP (HEADS / SHARED)
#define FULL 0xffffffffu

__device__ __forceinline__ float wide(Half bits) {
#if BF16
    return __uint_as_float((unsigned)bits << 16);
#else
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
#endif
}

__device__ __forceinline__ Half narrow(float value) {
#if BF16
    unsigned bits = __float_as_uint(value);
    return (Half)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
#else
    Half bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#endif
}

// Eight neighbours, read and written at once.
union Eight {
    uint4 all;
    Half each[8];
};

__device__ __forceinline__ float sum_of_warp(float value) {
    for (int apart = 16; apart > 0; apart /= 2) value += __shfl_xor_sync(FULL, value, apart);
    return value;
}

// Every thread of the block gets the sum; all must call.
__device__ __forceinline__ float sum_of_block(float value) {
    __shared__ float parts[32];
    value = sum_of_warp(value);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    float sum = 0;
    for (int warp = 0; warp < (blockDim.x + 31) / 32; warp++) sum += parts[warp];
    __syncthreads();
    return sum;
}

// One block a row. hidden += more, if there is any; out = its norm.
extern "C" __global__ void add_norm(
    Half* hidden, const Half* more, const Half* weight, Half* out, int adds, double epsilon
) {
    hidden += (long long)blockIdx.x * WIDTH;
    more += (long long)blockIdx.x * WIDTH;
    out += (long long)blockIdx.x * WIDTH;
    float squares = 0;
    for (int at = threadIdx.x * 8; at < WIDTH; at += blockDim.x * 8) {
        Eight sum;
        sum.all = *(const uint4*)(hidden + at);
        if (adds) {
            Eight other;
            other.all = *(const uint4*)(more + at);
            for (int i = 0; i < 8; i++) sum.each[i] = narrow(wide(sum.each[i]) + wide(other.each[i]));
            *(uint4*)(hidden + at) = sum.all;
        }
        for (int i = 0; i < 8; i++) squares += wide(sum.each[i]) * wide(sum.each[i]);
    }
    float factor = rsqrtf(sum_of_block(squares) / WIDTH + (float)epsilon);
    for (int at = threadIdx.x * 8; at < WIDTH; at += blockDim.x * 8) {
        Eight value, scale;
        value.all = *(const uint4*)(hidden + at);
        scale.all = *(const uint4*)(weight + at);
        for (int i = 0; i < 8; i++)
            value.each[i] = narrow(wide(narrow(wide(value.each[i]) * factor)) * wide(scale.each[i]));
        *(uint4*)(out + at) = value.all;
    }
}

// out = silu(gate) * up, eight numbers a thread.
extern "C" __global__ void gated(const Half* gate, const Half* up, Half* out, int eights) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= eights) return;
    Eight left, right;
    left.all = ((const uint4*)gate)[at];
    right.all = ((const uint4*)up)[at];
    for (int i = 0; i < 8; i++) {
        float value = wide(left.each[i]);
        left.each[i] = narrow(wide(narrow(value / (1 + __expf(-value)))) * wide(right.each[i]));
    }
    ((uint4*)out)[at] = left.all;
}

// One block of SIZE / 2 threads a head and row: heads of queries, then of keys, then of values.
// Queries and keys get their norm and turn by their position; keys and values go to their place in
// the cache: page `pages[row][position / PAGE]`.
extern "C" __global__ void turn_and_keep(
    const Half* queries, const Half* new_keys, const Half* new_values,
    const Half* query_norm, const Half* key_norm, const Half* cosines, const Half* sines,
    Half* turned, Half* keys, Half* values,
    const int* pages, int most_pages, const int* positions, double epsilon
) {
    int head = blockIdx.x, row = blockIdx.y, at = threadIdx.x, half = SIZE / 2;
    int position = positions[row];
    long long slot = (long long)pages[row * most_pages + position / PAGE] * PAGE + position % PAGE;
    if (head >= HEADS + SHARED) {
        head -= HEADS + SHARED;
        const Half* from = new_values + (row * SHARED + head) * SIZE;
        Half* to = values + (slot * SHARED + head) * SIZE;
        to[at] = from[at];
        to[at + half] = from[at + half];
        return;
    }
    bool is_key = head >= HEADS;
    if (is_key) head -= HEADS;
    const Half* from = is_key ? new_keys + (row * SHARED + head) * SIZE
                              : queries + (row * HEADS + head) * SIZE;
    Half* to = is_key ? keys + (slot * SHARED + head) * SIZE : turned + (row * HEADS + head) * SIZE;
    float left = wide(from[at]), right = wide(from[at + half]);
#if NORMED
    const Half* norm = is_key ? key_norm : query_norm;
    float factor = rsqrtf(sum_of_block(left * left + right * right) / SIZE + (float)epsilon);
    left = wide(narrow(wide(narrow(left * factor)) * wide(norm[at])));
    right = wide(narrow(wide(narrow(right * factor)) * wide(norm[at + half])));
#endif
    cosines += row * SIZE;
    sines += row * SIZE;
    to[at] = narrow(left * wide(cosines[at]) - right * wide(sines[at]));
    to[at + half] = narrow(right * wide(cosines[at + half]) + left * wide(sines[at + half]));
}

// Attention of one token a row over its own pages. A block takes one shared head of one row and
// one of `splits` stretches of its pages; a team of SIZE / 8 threads takes a key at a time, for all
// queries of the group. Whichever block of a head and row is the last puts their results together;
// `arrived` [rows, SHARED] counts them, and is zero before and after.
#define TEAM (SIZE / 8)
#define TEAMS (128 / TEAM)
#define AT_ONCE 4
// Tokens of a stretch that is worth a block and a share in the end.
#define SHORTEST (2 * TEAMS * AT_ONCE)

extern "C" __global__ void __launch_bounds__(128) attend(
    const Half* queries, const Half* keys, const Half* values,
    const int* pages, int most_pages, const int* positions,
    float* parts, float* sums, unsigned* arrived, Half* out, int splits, double scale
) {
    int head = blockIdx.x, row = blockIdx.y, split = blockIdx.z;
    int team = threadIdx.x / TEAM, lane = threadIdx.x % TEAM;
    int length = positions[row] + 1;
    int stretch = max(SHORTEST, ((length + PAGE - 1) / PAGE + splits - 1) / splits * PAGE);
    int begin = split * stretch, end = min(length, begin + stretch);
    if (begin >= end) return;
    int most_splits = splits;
    // Short answers leave some without work.
    splits = (length + stretch - 1) / stretch;
    pages += row * most_pages;

    float asked[GROUP][8], found[GROUP][8], best[GROUP], sum[GROUP];
    for (int g = 0; g < GROUP; g++) {
        Eight query;
        query.all = *(const uint4*)(queries + (row * HEADS + head * GROUP + g) * SIZE + lane * 8);
        for (int i = 0; i < 8; i++) {
            asked[g][i] = wide(query.each[i]) * (float)scale;
            found[g][i] = 0;
        }
        best[g] = -1e30f;
        sum[g] = 0;
    }
    // As many rounds for every thread, for they shuffle.
    for (int first = begin; first < end; first += TEAMS * AT_ONCE) {
        Eight key[AT_ONCE], value[AT_ONCE];
#pragma unroll
        for (int n = 0; n < AT_ONCE; n++) {
            int token = first + n * TEAMS + team;
            key[n].all = value[n].all = make_uint4(0, 0, 0, 0);
            if (token < end) {
                long long slot = (long long)pages[token / PAGE] * PAGE + token % PAGE;
                key[n].all = *(const uint4*)(keys + (slot * SHARED + head) * SIZE + lane * 8);
                value[n].all = *(const uint4*)(values + (slot * SHARED + head) * SIZE + lane * 8);
            }
        }
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            float score[AT_ONCE], most = best[g];
#pragma unroll
            for (int n = 0; n < AT_ONCE; n++) {
                score[n] = 0;
                for (int i = 0; i < 8; i++) score[n] += asked[g][i] * wide(key[n].each[i]);
                for (int apart = TEAM / 2; apart > 0; apart /= 2)
                    score[n] += __shfl_xor_sync(FULL, score[n], apart);
                if (first + n * TEAMS + team >= end) score[n] = -1e30f;
                most = fmaxf(most, score[n]);
            }
            float kept = __expf(best[g] - most);
            best[g] = most;
            sum[g] *= kept;
            for (int i = 0; i < 8; i++) found[g][i] *= kept;
#pragma unroll
            for (int n = 0; n < AT_ONCE; n++) {
                float share = score[n] > -1e29f ? __expf(score[n] - most) : 0.0f;
                sum[g] += share;
                for (int i = 0; i < 8; i++) found[g][i] += share * wide(value[n].each[i]);
            }
        }
    }

    __shared__ float all_found[TEAMS][GROUP][SIZE], all_best[TEAMS][GROUP], all_sums[TEAMS][GROUP];
    for (int g = 0; g < GROUP; g++) {
        for (int i = 0; i < 8; i++) all_found[team][g][lane * 8 + i] = found[g][i];
        if (lane == 0) {
            all_best[team][g] = best[g];
            all_sums[team][g] = sum[g];
        }
    }
    __syncthreads();
    for (int at = threadIdx.x; at < GROUP * SIZE; at += 128) {
        int g = at / SIZE, place = at % SIZE;
        float most = -1e30f, total = 0, value = 0;
        for (int t = 0; t < TEAMS; t++) most = fmaxf(most, all_best[t][g]);
        for (int t = 0; t < TEAMS; t++) {
            float share = __expf(all_best[t][g] - most);
            total += share * all_sums[t][g];
            value += share * all_found[t][g][place];
        }
        int query = row * HEADS + head * GROUP + g;
        if (splits == 1) {
            out[query * SIZE + place] = narrow(value / total);
        } else {
            parts[(query * most_splits + split) * SIZE + place] = value;
            if (place == 0) {
                sums[(query * most_splits + split) * 2] = most;
                sums[(query * most_splits + split) * 2 + 1] = total;
            }
        }
    }
    if (splits == 1) return;

    __shared__ bool is_last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0)
        is_last = atomicInc(&arrived[row * SHARED + head], splits - 1) == splits - 1;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    for (int at = threadIdx.x; at < GROUP * SIZE; at += 128) {
        int query = row * HEADS + head * GROUP + at / SIZE, place = at % SIZE;
        const float* part = parts + (long long)query * most_splits * SIZE + place;
        const float* pair = sums + query * most_splits * 2;
        float most = -1e30f, total = 0, value = 0;
#pragma unroll 8
        for (int s = 0; s < splits; s++) most = fmaxf(most, __ldcg(pair + s * 2));
#pragma unroll 8
        for (int s = 0; s < splits; s++) {
            float share = __expf(__ldcg(pair + s * 2) - most);
            total += share * __ldcg(pair + s * 2 + 1);
            value += share * __ldcg(part + s * SIZE);
        }
        out[query * SIZE + place] = narrow(value / total);
    }
}
