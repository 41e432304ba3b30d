// What contractions do with tensor cores: fragments of matrices, as the PTX ISA lays them out over the
// lanes of a warp (section "Matrix fragments" of mma.m16n8k16 and mma.m16n8k8).
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

static __device__ __forceinline__ unsigned pt_shared(const void *pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

// 16 x 16 elements of 16 bits from shared memory; `stride` is the number of elements of a row.
static __device__ __forceinline__ int pt_load_a16(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x & 31;
  const unsigned address =
      pt_shared(static_cast<const unsigned short *>(tile) + (lane & 15) * stride + (lane >> 4) * 8);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(address) : "memory");
  return 0;
}

// 16 x 8 elements of 16 bits of the right operand, from [n][k].
static __device__ __forceinline__ int pt_load_b16(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x & 15;
  const unsigned address =
      pt_shared(static_cast<const unsigned short *>(tile) + (lane & 7) * stride + (lane >> 3) * 8);
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(fragment[0]), "=r"(fragment[1]) : "r"(address) : "memory");
  return 0;
}

// The same from [k][n].
static __device__ __forceinline__ int pt_load_b16_t(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x & 15;
  const unsigned address = pt_shared(static_cast<const unsigned short *>(tile) + lane * stride);
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(fragment[0]), "=r"(fragment[1]) : "r"(address) : "memory");
  return 0;
}

static __device__ __forceinline__ unsigned pt_tf32(float value) {
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
}

// 16 x 8 floats, of which products take 10 bits of the mantissa.
static __device__ __forceinline__ int pt_load_a32(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x & 31;
  const float *at = static_cast<const float *>(tile) + (lane >> 2) * stride + (lane & 3);
  fragment[0] = pt_tf32(at[0]);
  fragment[1] = pt_tf32(at[8 * stride]);
  fragment[2] = pt_tf32(at[4]);
  fragment[3] = pt_tf32(at[8 * stride + 4]);
  return 0;
}

// 8 x 8 floats of the right operand, from [n][k].
static __device__ __forceinline__ int pt_load_b32(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x & 31;
  const float *at = static_cast<const float *>(tile) + (lane >> 2) * stride + (lane & 3);
  fragment[0] = pt_tf32(at[0]);
  fragment[1] = pt_tf32(at[4]);
  return 0;
}

static __device__ __forceinline__ int pt_load_b32_t(unsigned *fragment, const void *tile, int stride) {
  const int lane = threadIdx.x & 31;
  const float *at = static_cast<const float *>(tile) + (lane & 3) * stride + (lane >> 2);
  fragment[0] = pt_tf32(at[0]);
  fragment[1] = pt_tf32(at[4 * stride]);
  return 0;
}

#define PT_MMA(NAME, SHAPE, TYPE)                                                                          \
  static __device__ __forceinline__ int NAME(float *sum, const unsigned *a, const unsigned *b) {           \
    asm volatile("mma.sync.aligned." SHAPE ".row.col.f32." TYPE "." TYPE                                   \
                 ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                    \
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])                                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                      \
    return 0;                                                                                              \
  }

PT_MMA(pt_mma_f16, "m16n8k16", "f16")
PT_MMA(pt_mma_bf16, "m16n8k16", "bf16")
PT_MMA(pt_mma_tf32, "m16n8k8", "tf32")
#undef PT_MMA
