/*
 * Gives forms of kernels that are tried alone what they find in a model: activations in the caches of the cores
 * whose threads made them.
 *
 * It is linked with parallel_launch.c.
 */
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

enum { CACHE_LINE = 64 };

/* TVMParallelGroupEnv of tvm/runtime/c_backend_api.h */
typedef struct {
  void *sync_handle;
  int32_t num_task;
} GroupEnv;

extern int paddle_tvm_parallel_launch(int (*lambda)(int, GroupEnv *, void *), void *closure, int tasks);

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
