/*
 * As much of GNU OpenMP as oneDNN calls, on the threads that the models of a process share.
 *
 * The artifact's copy of oneDNN looks here instead of in libgomp.so.1, so that its loops and the model's own
 * run on one pool, and no second one stays awake beside it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "thread_pool.h"

#define EXPORT __attribute__((visibility("default")))

typedef struct {
  void (*function)(void *);
  void *data;
} Body;

/* What a thread knows of the region that it is in; on its stack, or, of the thread that began it, on the heap. */
typedef struct Place {
  struct Place *outer;
  void *team; /* NULL: a team of one */
  int32_t number, count;
  Body body;
  long next, last, step, chunk; /* its static loop: where the next chunk begins, and what is between two */
} Place;

static const PaddleTvmPool *pool;
static __thread Place *here;

/* Says whose threads to take, before oneDNN is called at all. */
EXPORT void paddle_tvm_openmp_use(const PaddleTvmPool *used) { pool = used; }

EXPORT int omp_get_num_threads(void) { return here ? here->count : 1; }
EXPORT int omp_get_thread_num(void) { return here ? here->number : 0; }
EXPORT int omp_get_max_threads(void) { return pool->threads(); }

EXPORT int omp_in_parallel(void) {
  for (Place *place = here; place; place = place->outer)
    if (place->count > 1) return 1;
  return 0;
}

static int run_body(int task, PaddleTvmGroup *group, void *closure) {
  Body *body = closure;
  Place place = {.outer = here, .team = group->team, .number = task, .count = group->num_task};
  here = &place;
  body->function(body->data);
  here = place.outer;
  return 0;
}

EXPORT void GOMP_parallel_start(void (*function)(void *), void *data, unsigned count) {
  if (count == 0) count = omp_in_parallel() ? 1 : omp_get_max_threads();
  Place *place = malloc(sizeof *place);
  /* oneDNN has no way to be told. */
  if (place == NULL) abort();
  *place = (Place){.outer = here, .count = count, .body = {function, data}};
  if (count > 1) place->team = pool->begin(run_body, &place->body, count);
  here = place;
}

EXPORT void GOMP_parallel_end(void) {
  Place *place = here;
  here = place->outer;
  if (place->team) pool->end(place->team);
  free(place);
}

EXPORT void GOMP_parallel(void (*function)(void *), void *data, unsigned count, unsigned flags) {
  GOMP_parallel_start(function, data, count);
  function(data);
  GOMP_parallel_end();
}

EXPORT void GOMP_barrier(void) {
  if (here && here->team) pool->barrier(here->team);
}

static bool next_chunk(Place *place, long *first, long *last) {
  bool up = place->step > 0;
  if (up ? place->next >= place->last : place->next <= place->last) return false;
  long end = place->next + place->chunk * place->step;
  *first = place->next;
  *last = up ? (end < place->last ? end : place->last) : (end > place->last ? end : place->last);
  place->next += place->chunk * place->step * place->count;
  return true;
}

/* A loop outside of any region is its own thread's alone. */
static __thread Place serial = {.count = 1};

EXPORT bool GOMP_loop_static_start(long first, long last, long step, long chunk, long *begin, long *end) {
  Place *place = here ? here : &serial;
  if (chunk == 0) {
    /* One chunk for each thread, of sizes that differ by one iteration at most. */
    long iterations = (last - first + step + (step > 0 ? -1 : 1)) / step;
    if (iterations < 0) iterations = 0;
    long size = iterations / place->count, larger = iterations % place->count;
    long before = size * place->number + (place->number < larger ? place->number : larger);
    size += place->number < larger;
    place->next = last;
    place->last = last;
    place->step = step;
    place->chunk = 1;
    *begin = first + before * step;
    *end = first + (before + size) * step;
    return size > 0;
  }
  place->next = first + chunk * step * place->number;
  place->last = last;
  place->step = step;
  place->chunk = chunk;
  return next_chunk(place, begin, end);
}

EXPORT bool GOMP_loop_static_next(long *begin, long *end) {
  return next_chunk(here ? here : &serial, begin, end);
}

EXPORT void GOMP_loop_end_nowait(void) {}
