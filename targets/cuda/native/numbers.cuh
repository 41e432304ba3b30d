// Of two numbers one, as code for CPUs does: where one is NaN, the second.
#pragma once
template <typename T> static __device__ __forceinline__ T pt_max(T a, T b) { return a > b ? a : b; }
template <typename T> static __device__ __forceinline__ T pt_min(T a, T b) { return a < b ? a : b; }
// A number that TVM does not compute with.
template <typename T> static __device__ __forceinline__ T pt_same(T a) { return a; }
