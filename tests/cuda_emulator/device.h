// CUDA device code as host code: the threads of a block are fibers that take turns, from barrier to barrier.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(n)
#define __shared__ static
#define uint unsigned
#define uchar unsigned char
#define ushort unsigned short

template <typename T> static void read(T &value, const void *from) { memcpy(&value, from, sizeof value); }

struct Dim { unsigned x, y, z; };
static Dim threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

constexpr size_t kStack = 128 << 10;

struct Fiber {
  void *stack_pointer = nullptr;
  char *stack = nullptr;
  bool done = false;
};

static std::vector<Fiber> fibers;
static void *scheduler;
static int running = -1;
static bool may_wait;
static std::function<void()> *thread_body;
static bool waited;

__attribute__((noinline, naked)) static void switch_to(void **, void *) {
  asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}

static void yield() { switch_to(&fibers[running].stack_pointer, scheduler); }

static void enter() {
  (*thread_body)();
  fibers[running].done = true;
  yield();
  abort();
}

static void start(Fiber &fiber) {
  if (!fiber.stack) fiber.stack = static_cast<char *>(aligned_alloc(64, kStack));
  auto **top = reinterpret_cast<void **>(fiber.stack + kStack) - 2;
  *top = reinterpret_cast<void *>(&enter);
  top -= 6;
  fiber.stack_pointer = top;
  fiber.done = false;
}

// Runs every thread of every block up to the next barrier, again and again. Barriers of a warp are those of the
// block: all threads of a kernel here come to the same ones.
static void run(const unsigned *dims, std::function<void()> body, bool barriers) {
  gridDim = {dims[0], dims[1], dims[2]};
  blockDim = {dims[3], dims[4], dims[5]};
  const unsigned threads = dims[3] * dims[4] * dims[5];
  thread_body = &body;
  if (fibers.size() < threads) fibers.resize(threads);
  for (unsigned z = 0; z < dims[2]; ++z)
    for (unsigned y = 0; y < dims[1]; ++y)
      for (unsigned x = 0; x < dims[0]; ++x) {
        blockIdx = {x, y, z};
        if (!barriers) {
          for (unsigned t = 0; t < threads; ++t) {
            threadIdx = {t % dims[3], t / dims[3] % dims[4], t / dims[3] / dims[4]};
            body();
          }
          continue;
        }
        for (unsigned t = 0; t < threads; ++t) start(fibers[t]);
        for (bool left = true; left;) {
          left = false;
          for (unsigned t = 0; t < threads; ++t) {
            if (fibers[t].done) continue;
            threadIdx = {t % dims[3], t / dims[3] % dims[4], t / dims[3] / dims[4]};
            running = t;
            switch_to(&scheduler, fibers[t].stack_pointer);
            left |= !fibers[t].done;
          }
        }
      }
}

}  // namespace emulator

static inline void __syncthreads() { emulator::yield(); }

template <typename T> static inline T __emulated_min(T a, T b) { return a < b ? a : b; }
using std::max;
using std::min;
static inline int64_t max(int64_t a, int b) { return std::max<int64_t>(a, b); }
static inline int64_t min(int64_t a, int b) { return std::min<int64_t>(a, b); }

#define CUDART_INF_F std::numeric_limits<float>::infinity()
#define CUDART_NAN_F std::numeric_limits<float>::quiet_NaN()
#define CUDART_INF std::numeric_limits<double>::infinity()
#define CUDART_NAN std::numeric_limits<double>::quiet_NaN()

struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
struct int2 { int x, y; };
struct int4 { int x, y, z, w; };
struct uint1 { unsigned x; };
struct uint2 { unsigned x, y; };
struct uint4 { unsigned x, y, z, w; };
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint1 make_uint1(unsigned x) { return {x}; }

// --- 16-bit floats ---

template <typename Self> struct Narrow {
  friend Self operator+(Self a, Self b) { return Self(float(a) + float(b)); }
  friend Self operator-(Self a, Self b) { return Self(float(a) - float(b)); }
  friend Self operator*(Self a, Self b) { return Self(float(a) * float(b)); }
  friend Self operator/(Self a, Self b) { return Self(float(a) / float(b)); }
  friend Self operator-(Self a) { return Self(-float(a)); }
  friend bool operator<(Self a, Self b) { return float(a) < float(b); }
  friend bool operator>(Self a, Self b) { return float(a) > float(b); }
  friend bool operator<=(Self a, Self b) { return float(a) <= float(b); }
  friend bool operator>=(Self a, Self b) { return float(a) >= float(b); }
  friend bool operator==(Self a, Self b) { return float(a) == float(b); }
  friend bool operator!=(Self a, Self b) { return float(a) != float(b); }
};

struct half : Narrow<half> {
  _Float16 value;
  half() = default;
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>> explicit half(T other) : value(_Float16(float(other))) {}
  explicit operator float() const { return float(value); }
  explicit operator double() const { return double(value); }
  explicit operator int() const { return int(float(value)); }
  explicit operator int64_t() const { return int64_t(float(value)); }
  explicit operator bool() const { return float(value) != 0; }
};
using __half = half;
struct nv_bfloat16 : Narrow<nv_bfloat16> {
  uint16_t bits;
  nv_bfloat16() = default;
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>> explicit nv_bfloat16(T other) {
    float wide = float(other);
    uint32_t raw;
    memcpy(&raw, &wide, 4);
    bits = std::isnan(wide) ? 0x7fc0 : uint16_t((raw + 0x7fff + ((raw >> 16) & 1)) >> 16);
  }
  explicit operator float() const {
    uint32_t raw = uint32_t(bits) << 16;
    float wide;
    memcpy(&wide, &raw, 4);
    return wide;
  }
};
using __nv_bfloat16 = nv_bfloat16;
struct half2 { half x, y; };
struct half4 { half x, y, z, w; };
static inline half4 make_half4(half x, half y, half z, half w) { return {x, y, z, w}; }
struct nv_bfloat162 { nv_bfloat16 x, y; };
static inline half2 make_half2(half x, half y) { return {x, y}; }
static inline nv_bfloat162 make_bfloat162(nv_bfloat16 x, nv_bfloat16 y) { return {x, y}; }
static inline half __float2half_rn(float value) { return half(value); }
static inline nv_bfloat16 __float2bfloat16_rn(float value) { return nv_bfloat16(value); }
template <typename T> static inline unsigned pack_pair(T x, T y) {
  unsigned short low, high;
  memcpy(&low, &x, 2);
  memcpy(&high, &y, 2);
  return unsigned(high) << 16 | low;
}
static inline unsigned __pack_half2(half x, half y) { return pack_pair(x, y); }
static inline unsigned __pack_nv_bfloat162(nv_bfloat16 x, nv_bfloat16 y) { return pack_pair(x, y); }
static inline half hexp(half x) { return half(std::exp(float(x))); }
static inline half hlog(half x) { return half(std::log(float(x))); }
static inline half hsqrt(half x) { return half(std::sqrt(float(x))); }
static inline half hrsqrt(half x) { return half(1 / std::sqrt(float(x))); }
static inline half hfloor(half x) { return half(std::floor(float(x))); }
static inline half hceil(half x) { return half(std::ceil(float(x))); }
static inline half htanh(half x) { return half(std::tanh(float(x))); }
static inline half hpow(half x, half y) { return half(std::pow(float(x), float(y))); }
static inline half __habs(half x) { return half(std::abs(float(x))); }

// --- tensor_cores.cuh: fragments lie over the lanes of a warp as the PTX ISA has them ---

namespace emulator {
static unsigned exchange[64][32][4];
static unsigned *warp() { return nullptr; }
static float widen(unsigned short bits, bool bfloat) {
  if (bfloat) { nv_bfloat16 value; value.bits = bits; return float(value); }
  _Float16 value;
  memcpy(&value, &bits, 2);
  return float(value);
}
static float as_float(unsigned bits) { float value; memcpy(&value, &bits, 4); return value; }
static unsigned tf32(float value) {
  unsigned bits;
  memcpy(&bits, &value, 4);
  if (std::isfinite(value)) bits = (bits + 0x1000) & ~0x1fffu;
  return bits;
}
static unsigned pair(const unsigned short *at, int step) { return at[0] | unsigned(at[step]) << 16; }

// Lane l has of A the rows l / 4 and l / 4 + 8 and, in pairs, the columns 2 (l % 4) and 2 (l % 4) + 8.
static float element_a(int row, int k, const unsigned (*lanes)[4], int kind) {
  if (kind == 2) return as_float(lanes[row % 8 * 4 + k % 4][(row >= 8) + 2 * (k >= 4)]);
  unsigned bits = lanes[row % 8 * 4 + k % 8 / 2][(row >= 8) + 2 * (k >= 8)];
  return widen(k & 1 ? bits >> 16 : bits & 0xffff, kind == 1);
}
static float element_b(int k, int column, const unsigned (*lanes)[4], int kind) {
  if (kind == 2) return as_float(lanes[column * 4 + k % 4][k >= 4]);
  unsigned bits = lanes[column * 4 + k % 8 / 2][k >= 8];
  return widen(k & 1 ? bits >> 16 : bits & 0xffff, kind == 1);
}
static unsigned left_of[64][32][4], right_of[64][32][4];

static int mma(float *sum, const unsigned *a, const unsigned *b, int kind) {
  const int number = threadIdx.x / 32, lane = threadIdx.x % 32, depth = kind == 2 ? 8 : 16;
  memcpy(left_of[number][lane], a, 16);
  memcpy(right_of[number][lane], b, 8);
  yield();
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < depth; ++k)
      sum[i] += element_a(row, k, left_of[number], kind) * element_b(k, column, right_of[number], kind);
  }
  yield();
  return 0;
}
}  // namespace emulator

static inline int pt_load_a16(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x % 32;
  auto *at = static_cast<const unsigned short *>(tile) + lane / 4 * stride + lane % 4 * 2;
  for (int i = 0; i < 4; ++i) fragment[i] = emulator::pair(at + i % 2 * 8 * stride + i / 2 * 8, 1);
  return 0;
}
static inline int pt_load_b16(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x % 32;
  auto *at = static_cast<const unsigned short *>(tile) + lane / 4 * stride + lane % 4 * 2;
  for (int i = 0; i < 2; ++i) fragment[i] = emulator::pair(at + i * 8, 1);
  return 0;
}
static inline int pt_load_b16_t(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x % 32;
  auto *at = static_cast<const unsigned short *>(tile) + lane / 4 + lane % 4 * 2 * stride;
  for (int i = 0; i < 2; ++i) fragment[i] = emulator::pair(at + i * 8 * stride, stride);
  return 0;
}
static inline int pt_load_a32(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x % 32;
  auto *at = static_cast<const float *>(tile) + lane / 4 * stride + lane % 4;
  for (int i = 0; i < 4; ++i) fragment[i] = emulator::tf32(at[i % 2 * 8 * stride + i / 2 * 4]);
  return 0;
}
static inline int pt_load_b32(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x % 32;
  auto *at = static_cast<const float *>(tile) + lane / 4 * stride + lane % 4;
  for (int i = 0; i < 2; ++i) fragment[i] = emulator::tf32(at[i * 4]);
  return 0;
}
static inline int pt_load_b32_t(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x % 32;
  auto *at = static_cast<const float *>(tile) + lane % 4 * stride + lane / 4;
  for (int i = 0; i < 2; ++i) fragment[i] = emulator::tf32(at[i * 4 * stride]);
  return 0;
}
static inline int pt_mma_f16(float *sum, const unsigned *a, const unsigned *b) { return emulator::mma(sum, a, b, 0); }
static inline int pt_mma_bf16(float *sum, const unsigned *a, const unsigned *b) { return emulator::mma(sum, a, b, 1); }
static inline int pt_mma_tf32(float *sum, const unsigned *a, const unsigned *b) { return emulator::mma(sum, a, b, 2); }
static inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
static inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
template <typename T> static inline T pt_same(T a) { return a; }
template <typename T> static inline T pt_max(T a, T b) { return a > b ? a : b; }
template <typename T> static inline T pt_min(T a, T b) { return a < b ? a : b; }
