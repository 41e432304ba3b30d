/*
 * Gives forms of kernels that are tried alone what they find in a model: threads on CPUs of their own, and
 * activations in the caches of the cores whose threads made them.
 *
 * It is linked with parallel_launch.c.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

/* Most looks take about a second; a thread may be missing because it could not be started. */
enum { CACHE_LINE = 64, LOOKS_BETWEEN_YIELDS = 64, MOST_LOOKS = 1 << 24 };

/* TVMParallelGroupEnv of tvm/runtime/c_backend_api.h */
typedef struct {
  void *sync_handle;
  int32_t num_task;
} GroupEnv;

extern int paddle_tvm_parallel_launch(int (*lambda)(int, GroupEnv *, void *), void *closure, int tasks);

typedef struct {
  const int32_t *cpus;
  int32_t begun;
} Places;

static int take_place(int task, GroupEnv *env, void *closure) {
  Places *places = closure;
  /* Whoever waits here takes no second task, so each is taken by a thread of its own. */
  __atomic_fetch_add(&places->begun, 1, __ATOMIC_SEQ_CST);
  for (int look = 0; look < MOST_LOOKS; ++look) {
    if (__atomic_load_n(&places->begun, __ATOMIC_SEQ_CST) == env->num_task) break;
    if (look % LOOKS_BETWEEN_YIELDS) __builtin_ia32_pause();
    else sched_yield();
  }
  if (task) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(places->cpus[task], &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  return 0;
}

/* Binds the threads that help the calling one to CPUs, the one of task i to cpus[i]. */
EXPORT void paddle_tvm_take_places(const int32_t *cpus) {
  Places places = {cpus, 0};
  paddle_tvm_parallel_launch(take_place, &places, 0);
}

typedef struct {
  char *data;
  int64_t outer, rows, row_bytes;
  int32_t write;
} Tensor;

static int pass(int task, GroupEnv *env, void *closure) {
  const Tensor *tensor = closure;
  int64_t begin = tensor->rows * task / env->num_task, end = tensor->rows * (task + 1) / env->num_task;
  for (int64_t i = 0; i < tensor->outer; ++i) {
    char *first = tensor->data + (i * tensor->rows + begin) * tensor->row_bytes;
    char *last = tensor->data + (i * tensor->rows + end) * tensor->row_bytes;
    if (tensor->write)
      for (char *byte = first; byte < last; byte += CACHE_LINE) *(volatile char *)byte = *(volatile char *)byte;
    else
      for (char *byte = first; byte < last; byte += CACHE_LINE) (void)*(volatile char *)byte;
  }
  return 0;
}

/* Each thread reads, or writes as they are, its share of the rows of a tensor [outer, rows, row_bytes]. */
EXPORT void paddle_tvm_pass_rows(char *data, int64_t outer, int64_t rows, int64_t row_bytes, int32_t write) {
  Tensor tensor = {data, outer, rows, row_bytes, write};
  paddle_tvm_parallel_launch(pass, &tensor, 0);
}
