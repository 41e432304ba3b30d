/*
 * Splits the parallel loops of a compiled model among threads.
 *
 * It is linked into every model's library, and stands in for TVMBackendParallelLaunch of TVM's runtime (0.27),
 * whose callers wait without end for workers that the system may not be running, and whose workers stay awake
 * for 300000 calls of sched_yield after the last loop. Here
 *
 * - the caller takes whatever no worker has begun, so it waits for workers only while they compute;
 * - who waits longer than a moment sleeps, so that the system can run somebody else there;
 * - one pool serves all callers of the process, and a caller gets only as many workers as there are CPUs that
 *   no other caller works on.
 *
 * The runtime (paddle_tvm/runtime/launcher.py) calls paddle_tvm_enter and paddle_tvm_leave around each run,
 * and puts the address of paddle_tvm_parallel_launch into __TVMBackendParallelLaunch of the library.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "thread_pool.h"

#define EXPORT __attribute__((visibility("default")))

enum {
  MAX_WORKERS = 1023,
  CACHE_LINE = 64,
  /* Longer than the gaps between the loops of a model, in which a worker should not fall asleep. */
  WORKER_WAITS_NS = 200 * 1000,
  /* A worker that computes is about to end, unless the system has stopped running it. */
  CALLER_WAITS_NS = 50 * 1000,
  LOOKS_BETWEEN_YIELDS = 64,
};

/* tvm/ffi/c_api.h */
extern void TVMFFIErrorMoveFromRaised(void **error);
extern void TVMFFIErrorSetRaised(void *error);
extern int TVMFFIObjectDecRef(void *object);

/* One parallel loop. It lies on the stack of its caller, who stays until every worker has let go of it. */
typedef struct {
  PaddleTvmTask lambda;
  void *closure;
  PaddleTvmGroup group;
  void *error;    /* the first that a task raised */
  char *begun;    /* for each task whether somebody has begun it */
  int32_t finished; /* how many workers have let go; with CALLER_SLEEPS while the caller sleeps on it */
} Job;

#define CALLER_SLEEPS 0x40000000

typedef struct {
  Job *job; /* NULL: none; TAKEN: one that can no longer be taken back */
  int32_t sleeps;
} __attribute__((aligned(CACHE_LINE))) Worker;

#define TAKEN ((Job *)1)

static Worker workers[MAX_WORKERS];
static int32_t worker_count;
static int32_t cpu_count;
static int32_t active_callers;
static pthread_mutex_t hiring = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t completing_teams = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static __thread int32_t threads_wanted = 0; /* 0: no run is under way on this thread */

/* Looks at `condition` for a while; whether it came true. Others may run here meanwhile: perhaps the very
   thread that is waited for. */
#define COMES_TRUE(condition, limit_ns)                                                    \
  ({                                                                                       \
    int64_t begin = now_ns();                                                              \
    int true_now = 0;                                                                      \
    do {                                                                                   \
      for (int look = 0; look < LOOKS_BETWEEN_YIELDS && !(true_now = (condition)); ++look) \
        __builtin_ia32_pause();                                                            \
    } while (!true_now && now_ns() - begin < (limit_ns) && (sched_yield(), 1));            \
    true_now;                                                                              \
  })

static int64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void futex(int32_t *word, int operation, int32_t value) {
  syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Runs what nobody has begun, from the task `own` on: that part of a tensor which this thread worked on in the
   loop before, and which is in the caches of its core. */
static void run_tasks(Job *job, int32_t own) {
  int32_t count = job->group.num_task;
  for (int32_t i = 0; i < count; ++i) {
    int32_t task = (own + i) % count;
    if (__atomic_exchange_n(&job->begun[task], 1, __ATOMIC_RELAXED)) continue;
    if (job->lambda(task, &job->group, job->closure) == 0) continue;
    void *error = NULL, *none = NULL;
    TVMFFIErrorMoveFromRaised(&error);
    if (!__atomic_compare_exchange_n(&job->error, &none, error, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      TVMFFIObjectDecRef(error);
  }
}

/* Until a job is offered, or a run begins. */
static void sleep_until_woken(Worker *self) {
  __atomic_store_n(&self->sleeps, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&self->job, __ATOMIC_SEQ_CST) == NULL) futex(&self->sleeps, FUTEX_WAIT, 1);
  __atomic_store_n(&self->sleeps, 0, __ATOMIC_SEQ_CST);
}

static void wake(Worker *worker) {
  if (__atomic_exchange_n(&worker->sleeps, 0, __ATOMIC_SEQ_CST)) futex(&worker->sleeps, FUTEX_WAKE, 1);
}

static void *work(void *argument) {
  Worker *self = argument;
  for (;;) {
    Job *job = NULL;
    if (!COMES_TRUE((job = __atomic_load_n(&self->job, __ATOMIC_ACQUIRE)) != NULL, WORKER_WAITS_NS)) {
      sleep_until_woken(self);
      continue;
    }
    if (!__atomic_compare_exchange_n(&self->job, &job, TAKEN, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      continue;
    run_tasks(job, (int32_t)(self - workers) + 1);
    __atomic_store_n(&self->job, NULL, __ATOMIC_SEQ_CST);
    int32_t *finished = &job->finished;
    /* After this the job may be gone; to wake somebody at its old address does no harm. */
    if (__atomic_fetch_add(finished, 1, __ATOMIC_SEQ_CST) & CALLER_SLEEPS) futex(finished, FUTEX_WAKE, 1);
  }
  return NULL;
}

static int offer(Worker *worker, Job *job) {
  Job *none = NULL;
  if (!__atomic_compare_exchange_n(&worker->job, &none, job, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return 0;
  wake(worker);
  return 1;
}

static int take_back(Worker *worker, Job *job) {
  return __atomic_compare_exchange_n(&worker->job, &job, NULL, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Starts one more worker than there are known, unless that makes more of them than `most`. */
static int hire(int32_t known, int32_t most) {
  pthread_mutex_lock(&hiring);
  int hired = worker_count > known;
  if (!hired && worker_count < most && worker_count < MAX_WORKERS) {
    sigset_t all, before;
    pthread_t thread;
    /* Signals are for the threads of the program. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    hired = pthread_create(&thread, NULL, work, &workers[worker_count]) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (hired) {
      pthread_setname_np(thread, "paddle-tvm");
      pthread_detach(thread);
      __atomic_store_n(&worker_count, worker_count + 1, __ATOMIC_SEQ_CST);
    }
  }
  pthread_mutex_unlock(&hiring);
  return hired;
}

static void count_cpus(void) {
  cpu_set_t cpus;
  cpu_count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : sysconf(_SC_NPROCESSORS_ONLN);
}

static void forget_parent(void) {
  /* Of all threads the child has only the one that forked. */
  for (int32_t i = 0; i < worker_count; ++i) workers[i] = (Worker){0};
  worker_count = 0;
  active_callers = threads_wanted != 0;
  pthread_mutex_init(&hiring, NULL);
  pthread_mutex_init(&completing_teams, NULL);
  count_cpus();
}

static void start(void) {
  count_cpus();
  pthread_atfork(NULL, NULL, forget_parent);
}

/* How many workers the run on this thread may ask: those it wants, while there are CPUs that no run is on. */
static int32_t helpers_for_caller(void) {
  int32_t helpers = threads_wanted - 1;
  int32_t spare = cpu_count - __atomic_load_n(&active_callers, __ATOMIC_RELAXED);
  if (helpers > spare) helpers = spare;
  if (helpers > MAX_WORKERS) helpers = MAX_WORKERS;
  return helpers > 0 ? helpers : 0;
}

/* A run begins on this thread, with this many threads at most. */
EXPORT void paddle_tvm_enter(int32_t threads) {
  pthread_once(&once, start);
  /* Ctrl-C may have kept an earlier run from saying that it left. */
  if (threads_wanted == 0) __atomic_fetch_add(&active_callers, 1, __ATOMIC_RELAXED);
  threads_wanted = threads;
  /* Somebody may have bound this thread to other CPUs since. */
  if (threads > 1) count_cpus();
  /* Waking takes as long as a small kernel: they are to be there when the first loop begins. */
  int32_t helpers = helpers_for_caller(), known = __atomic_load_n(&worker_count, __ATOMIC_SEQ_CST);
  for (int32_t i = 0; i < helpers && i < known; ++i) wake(&workers[i]);
}

/* The run has ended, if one began. */
EXPORT void paddle_tvm_leave(void) {
  if (threads_wanted != 0) __atomic_fetch_sub(&active_callers, 1, __ATOMIC_RELAXED);
  threads_wanted = 0;
}

/* Offers a job to workers that have none until `count` have been asked, or there are no more. */
static int32_t ask(Job *job, Worker **asked, int32_t asked_count, int32_t count, int32_t most_workers) {
  for (int32_t i = 0; asked_count < count; ++i) {
    if (i >= __atomic_load_n(&worker_count, __ATOMIC_SEQ_CST) && !hire(i, most_workers)) break;
    if (offer(&workers[i], job)) asked[asked_count++] = &workers[i];
  }
  return asked_count;
}

/* Runs what nobody has begun, and waits for those who have. */
static void complete(Job *job, Worker **asked, int32_t asked_count) {
  int32_t taken = 0;
  run_tasks(job, 0);
  for (int32_t i = 0; i < asked_count; ++i) taken += !take_back(asked[i], job);
#define ALL_FINISHED ((__atomic_load_n(&job->finished, __ATOMIC_SEQ_CST) & ~CALLER_SLEEPS) == taken)
  if (taken && !COMES_TRUE(ALL_FINISHED, CALLER_WAITS_NS)) {
    __atomic_fetch_or(&job->finished, CALLER_SLEEPS, __ATOMIC_SEQ_CST);
    int32_t seen;
    while (((seen = __atomic_load_n(&job->finished, __ATOMIC_SEQ_CST)) & ~CALLER_SLEEPS) != taken)
      futex(&job->finished, FUTEX_WAIT, seen);
  }
}

/* TVMBackendParallelLaunch of tvm/runtime/c_backend_api.h. */
EXPORT int paddle_tvm_parallel_launch(PaddleTvmTask lambda, void *closure, int num_task) {
  int32_t helpers = helpers_for_caller();
  int32_t tasks = num_task ? num_task : helpers + 1;
  char begun[tasks];
  memset(begun, 0, tasks);
  Job job = {.lambda = lambda, .closure = closure, .group = {NULL, tasks}, .begun = begun};
  Worker *asked[helpers + 1];
  complete(&job, asked, ask(&job, asked, 0, helpers, cpu_count - 1));
  if (job.error == NULL) return 0;
  TVMFFIErrorSetRaised(job.error);
  TVMFFIObjectDecRef(job.error);
  return -1;
}

/* A loop whose caller runs a task by itself, and whose tasks may wait for each other. */
typedef struct {
  Job job;
  Worker **asked;
  int32_t asked_count;
  int32_t arrived; /* how many tasks wait at the barrier */
  int32_t round;   /* how often all have been there */
  char begun[];
} Team;

static int32_t threads_of_run(void) { return threads_wanted ? threads_wanted : 1; }

static void *begin_team(PaddleTvmTask task, void *closure, int32_t tasks) {
  int32_t helpers = helpers_for_caller();
  Team *team = malloc(sizeof *team + tasks);
  Worker **asked = malloc(sizeof *asked * tasks);
  /* Who calls has no way to be told. */
  if (team == NULL || asked == NULL) abort();
  *team = (Team){.job = {.lambda = task, .closure = closure, .group = {team, tasks}, .begun = team->begun},
                 .asked = asked};
  memset(team->begun, 0, tasks);
  team->begun[0] = 1;
  if (helpers > tasks - 1) helpers = tasks - 1;
  team->asked_count = ask(&team->job, asked, 0, helpers, cpu_count - 1);
  return team;
}

/* Whoever waits at a barrier runs nothing else, so each task needs a thread, if there are CPUs for them or not. */
static void give_each_a_thread(Team *team) {
  int32_t needed = team->job.group.num_task - 1;
  pthread_mutex_lock(&completing_teams);
  while (team->asked_count < needed) {
    team->asked_count = ask(&team->job, team->asked, team->asked_count, needed, MAX_WORKERS);
    if (team->asked_count < needed) sched_yield();
  }
  pthread_mutex_unlock(&completing_teams);
}

static void pass_barrier(void *handle) {
  Team *team = handle;
  give_each_a_thread(team);
  int32_t round = __atomic_load_n(&team->round, __ATOMIC_SEQ_CST);
  if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_SEQ_CST) == team->job.group.num_task) {
    __atomic_store_n(&team->arrived, 0, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&team->round, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &team->round, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
    return;
  }
#define ROUND_IS_OVER (__atomic_load_n(&team->round, __ATOMIC_SEQ_CST) != round)
  if (!COMES_TRUE(ROUND_IS_OVER, CALLER_WAITS_NS))
    while (!ROUND_IS_OVER) futex(&team->round, FUTEX_WAIT, round);
}

static void end_team(void *handle) {
  Team *team = handle;
  complete(&team->job, team->asked, team->asked_count);
  free(team->asked);
  free(team);
}

static const PaddleTvmPool own_pool = {threads_of_run, begin_team, pass_barrier, end_team};
EXPORT const PaddleTvmPool *paddle_tvm_pool = &own_pool;
