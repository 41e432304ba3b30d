/*
 * The threads that every model of a process shares, for code that brings its own kind of parallel loops.
 *
 * compiler/native/parallel_launch.c has them; it is linked into every model's library.
 */
#ifndef PADDLE_TVM_THREAD_POOL_H
#define PADDLE_TVM_THREAD_POOL_H

#include <stdint.h>

/* TVMParallelGroupEnv of tvm/runtime/c_backend_api.h; its sync_handle is the team. */
typedef struct {
  void *team;
  int32_t num_task;
} PaddleTvmGroup;

typedef int (*PaddleTvmTask)(int task, PaddleTvmGroup *group, void *closure);

typedef struct {
  /* How many threads the run on this thread may have, itself included. */
  int32_t (*threads)(void);
  /* Has a task run `tasks` times, by whoever has time. The caller runs number 0 itself, and then calls `end`. */
  void *(*begin)(PaddleTvmTask task, void *closure, int32_t tasks);
  /* Waits until every task of the team has come here. */
  void (*barrier)(void *team);
  /* Waits for the other tasks, and runs what nobody has begun. */
  void (*end)(void *team);
} PaddleTvmPool;

#ifdef __cplusplus
extern "C"
#else
extern
#endif
/* The pool of the process. The runtime sets it when it loads the library. */
const PaddleTvmPool *paddle_tvm_pool;

#endif
