// A few rows through linear layers whose weights are read once, whatever they are kept in.
//
// BITS 16: bfloat16; 8: bitsandbytes' int8 with a scale a feature; 4: its nf4 with a scale for each
// 64 weights, itself kept in 8 bits. Weights are [features, inputs], row by row. Activations and
// results are bfloat16, sums float.
//
// Tensor cores take 16 features by 16 inputs and 16 inputs by 8 rows. A thread of them wants inputs
// 2t, 2t+1, 2t+8 and 2t+9 of each 16; but a sum has no order, so thread t is given 16 of 64 inputs
// that it can load at once, of weights and of rows alike: neighbours, or twice eight of them.
//
// One block takes 16 features: its warps share the inputs out among them, and add up at the end.

typedef unsigned short Half;
typedef unsigned int Pair;  // two bfloat16, the first below

#define FULL 0xffffffffu
#define WARPS 8
#define CHUNK 64
#if BITS == 16
#define OWN 8     // neighbours that are one thread's
#define SECOND 32 // inputs from its first eight to its second
#elif BITS == 8
#define OWN 16
#define SECOND 8
#else
#define OWN 16
#define SECOND 8
#define COPIES 32 // of the table below: one for each bank of memory, so that no thread waits
#endif

// As the host writes it, one a layer.
struct Layer {
    const void* weights;
    const void* scales;        // 8: float a feature; 4: byte a block of 64
    const float* scale_codes;  // 4: what a byte of `scales` means
    const float* scale_scales; // 4: for each 256 of `scales`
    const float* scale_offset; // 4
    const float* codes;        // 4: what four bits mean
    const Half* bias;          // may be null
    long long features, before; // features of the layers before it in this launch
};

__device__ __forceinline__ float wide(Half bits) { return __uint_as_float((unsigned)bits << 16); }

__device__ __forceinline__ unsigned narrow(float value) {
    unsigned bits = __float_as_uint(value);
    return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

// Sixteen weights or activations of a thread.
struct Sixteen {
    Pair pair[8];
};

#if BITS == 16
typedef Sixteen Raw;
#elif BITS == 8
typedef uint4 Raw;
#else
typedef uint2 Raw;
#endif

__device__ __forceinline__ Raw load(const void* weights, long long at) {
#if BITS == 16
    const uint4* from = (const uint4*)((const Half*)weights + at);
    uint4 first = __ldcs(from), second = __ldcs(from + SECOND / 8);
    return {{first.x, first.y, first.z, first.w, second.x, second.y, second.z, second.w}};
#elif BITS == 8
    return __ldcs((const uint4*)((const char*)weights + at));
#else
    return __ldcs((const uint2*)((const char*)weights + at / 2));
#endif
}

#if BITS == 8
// Signed bytes to bfloat16, exactly: as the last bits of a float they are a number of their own.
__device__ __forceinline__ void spread(unsigned bytes, Pair* to) {
    bytes ^= 0x80808080u;
    float each[4];
    each[0] = __uint_as_float(__byte_perm(bytes, 0x4b000000u, 0x7440)) - 8388736.0f;
    each[1] = __uint_as_float(__byte_perm(bytes, 0x4b000000u, 0x7441)) - 8388736.0f;
    each[2] = __uint_as_float(__byte_perm(bytes, 0x4b000000u, 0x7442)) - 8388736.0f;
    each[3] = __uint_as_float(__byte_perm(bytes, 0x4b000000u, 0x7443)) - 8388736.0f;
    to[0] = __byte_perm(__float_as_uint(each[0]), __float_as_uint(each[1]), 0x7632);
    to[1] = __byte_perm(__float_as_uint(each[2]), __float_as_uint(each[3]), 0x7632);
}
#endif

// Of a block of nf4: asked for with its weights, and put together when they are used.
struct Scale {
    unsigned char code;
    float of_code;
    __device__ __forceinline__ void load(const Layer& layer, long long block) {
        code = ((const unsigned char*)layer.scales)[block];
        of_code = layer.scale_scales[block / 256];
    }
    __device__ __forceinline__ float value(const float* codes, float offset) const {
        return codes[code] * of_code + offset;
    }
};

__device__ __forceinline__ Sixteen weights_of(Raw raw, const Pair* table) {
#if BITS == 16
    return raw;
#elif BITS == 8
    Sixteen found;
    spread(raw.x, found.pair);
    spread(raw.y, found.pair + 2);
    spread(raw.z, found.pair + 4);
    spread(raw.w, found.pair + 6);
    return found;
#else
    Sixteen found;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        found.pair[i] = table[((raw.x >> (8 * i)) & 0xff) * COPIES];
        found.pair[i + 4] = table[((raw.y >> (8 * i)) & 0xff) * COPIES];
    }
    return found;
#endif
}

__device__ __forceinline__ void multiply(float* sum, Pair a0, Pair a1, Pair a2, Pair a3, Pair b0, Pair b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// TILES of eight rows; AHEAD chunks are asked for before the first is used. Results of a layer lie
// together: [rows, features] after those before it.
template <int TILES, int AHEAD>
__device__ __forceinline__ void product(
    const Layer* layers, int count, const Half* input, Half* out, int rows, int inputs
) {
    int number = 0;
    while (number + 1 < count && blockIdx.x * 16 >= layers[number + 1].before) number++;
    Layer layer = layers[number];
    int feature = blockIdx.x * 16 - (int)layer.before;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, place = lane % 4 * OWN;

    const Pair* table = 0;
#if BITS == 4
    // What a byte means: two weights, the first in its upper half.
    __shared__ Pair pairs[256 * COPIES];
    __shared__ float scale_codes[256];
    Pair both = narrow(layer.codes[threadIdx.x >> 4]) | narrow(layer.codes[threadIdx.x & 15]) << 16;
    for (int copy = 0; copy < COPIES; copy++)
        pairs[threadIdx.x * COPIES + (copy + threadIdx.x) % COPIES] = both;
    scale_codes[threadIdx.x] = layer.scale_codes[threadIdx.x];
    __syncthreads();
    table = pairs + lane % COPIES;
    float offset = *layer.scale_offset;
#endif

    float sum[TILES][4];
    for (int tile = 0; tile < TILES; tile++)
        for (int i = 0; i < 4; i++) sum[tile][i] = 0;
    long long upper = (long long)(feature + group) * inputs + place;
    long long lower = upper + 8ll * inputs;

    int chunks = inputs / CHUNK;
    for (int first = warp; first < chunks; first += WARPS * AHEAD) {
        Raw raw[AHEAD][2];
#if BITS == 4
        Scale scale[AHEAD][2];
#endif
#pragma unroll
        for (int n = 0; n < AHEAD; n++) {
            int chunk = first + n * WARPS;
            if (chunk < chunks) {
                raw[n][0] = load(layer.weights, upper + chunk * CHUNK);
                raw[n][1] = load(layer.weights, lower + chunk * CHUNK);
#if BITS == 4
                for (int half = 0; half < 2; half++)
                    scale[n][half].load(layer, (long long)(feature + group + 8 * half) * chunks + chunk);
#endif
            }
        }
#pragma unroll
        for (int n = 0; n < AHEAD; n++) {
            int chunk = first + n * WARPS;
            if (chunk >= chunks) break;
            Sixteen high = weights_of(raw[n][0], table), low = weights_of(raw[n][1], table);
#pragma unroll
            for (int tile = 0; tile < TILES; tile++) {
                int row = tile * 8 + group;
                uint4 first_half = make_uint4(0, 0, 0, 0), second_half = first_half;
                if (row < rows) {
                    const uint4* from = (const uint4*)(input + (long long)row * inputs + chunk * CHUNK + place);
                    first_half = from[0];
                    second_half = from[SECOND / 8];
                }
                Pair of_row[8] = {first_half.x,  first_half.y,  first_half.z,  first_half.w,
                                  second_half.x, second_half.y, second_half.z, second_half.w};
#if BITS == 4
                float part[4] = {0, 0, 0, 0};
#else
                float* part = sum[tile];
#endif
#pragma unroll
                for (int step = 0; step < 4; step++)
                    multiply(part, high.pair[2 * step], low.pair[2 * step], high.pair[2 * step + 1],
                             low.pair[2 * step + 1], of_row[2 * step], of_row[2 * step + 1]);
#if BITS == 4
                for (int i = 0; i < 4; i++)
                    sum[tile][i] += scale[n][i / 2].value(scale_codes, offset) * part[i];
#endif
            }
        }
    }

#if BITS == 4
    // Both do not fit beside each other.
    __syncthreads();
    float(*sums)[TILES * 8][16] = (float(*)[TILES * 8][16])pairs;
#else
    __shared__ float sums[WARPS][TILES * 8][16];
#endif
    for (int tile = 0; tile < TILES; tile++)
        for (int i = 0; i < 4; i++)
            sums[warp][tile * 8 + lane % 4 * 2 + i % 2][group + i / 2 * 8] = sum[tile][i];
    __syncthreads();
    for (int at = threadIdx.x; at < rows * 16; at += WARPS * 32) {
        int row = at / 16, which = at % 16;
        float value = 0;
        for (int w = 0; w < WARPS; w++) value += sums[w][row][which];
#if BITS == 8
        value *= ((const float*)layer.scales)[feature + which] / 127.0f;
#endif
        if (layer.bias) value += wide(layer.bias[feature + which]);
        out[(long long)rows * layer.before + (long long)row * layer.features + feature + which] =
            (Half)narrow(value);
    }
}

#define PRODUCT(TILES, AHEAD) \
    extern "C" __global__ void __launch_bounds__(WARPS * 32) product_##TILES( \
        const Layer* layers, int count, const Half* input, Half* out, int rows, int inputs \
    ) { product<TILES, AHEAD>(layers, count, input, out, rows, inputs); }

// By measurement: more in flight wins until registers run out.
#if BITS == 16
PRODUCT(1, 2)
#elif BITS == 8
PRODUCT(1, 2)
PRODUCT(2, 2)
PRODUCT(4, 4)
#else
PRODUCT(1, 4)
PRODUCT(2, 4)
PRODUCT(4, 2)
#endif
