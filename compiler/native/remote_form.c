/*
 * Lets a machine that times forms of kernels through TVM's RPC (0.27) run them as an artifact does, and
 * outlive those that crash.
 *
 * It is linked with parallel_launch.c into what is sent there, and its functions are called through RPC.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* TVMFFIAny of tvm/ffi/c_api.h */
typedef struct {
  int32_t type_index;
  int32_t padding;
  int64_t value;
} Value;

/* Where the loops look for the function to call; TVM has put its own one there. Where no loop is parallel, there
   is no such place. */
extern void *__TVMBackendParallelLaunch __attribute__((weak));
extern void paddle_tvm_enter(int32_t threads);
extern int paddle_tvm_parallel_launch(int (*lambda)(int, void *, void *), void *closure, int tasks);

enum {
  MOST_CONNECTIONS = 64,
  /* asm/prctl.h of Linux 5.16, and the number of AMX's registers there. */
  REQUEST_PERMISSION = 0x1023,
  TILE_DATA = 18,
};

/* A server of TVM 0.27 ends with the process that serves a session, where that does not end well. */
static void end_session(int signal) { _exit(0); }

static void outlive_crashes(void) {
  static char stack[1 << 16];
  stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternative, NULL);
  struct sigaction action = {.sa_handler = end_session, .sa_flags = SA_ONSTACK};
  const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; ++i) sigaction(signals[i], &action, NULL);
}

static void limit_memory(int64_t more_bytes) {
  FILE *statm = fopen("/proc/self/statm", "r");
  if (!statm) return;
  long pages = 0;
  if (fscanf(statm, "%ld", &pages) == 1) {
    rlim_t limit = (rlim_t)pages * sysconf(_SC_PAGESIZE) + more_bytes;
    setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit});
  }
  fclose(statm);
}

/* Ends the session as soon as the other end of a connection is gone, whatever runs then. */
static void *watch(void *unused) {
  struct pollfd connections[MOST_CONNECTIONS];
  nfds_t count = 0;
  DIR *files = opendir("/proc/self/fd");
  for (struct dirent *file; files && (file = readdir(files)) && count < MOST_CONNECTIONS;) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int number = atoi(file->d_name);
    if (getpeername(number, (struct sockaddr *)&peer, &size) == 0 && peer.ss_family != AF_UNIX)
      connections[count++] = (struct pollfd){.fd = number, .events = POLLRDHUP};
  }
  if (files) closedir(files);
  if (count) {
    while (poll(connections, count, -1) <= 0) continue;
    _exit(0);
  }
  return NULL;
}

/* To be called first, with how many bytes of memory this process may take beyond what it has. */
EXPORT int __tvm_ffi_paddle_tvm_guard(void *self, const Value *arguments, int32_t count, Value *result) {
  outlive_crashes();
  /* Where there is no AMX this fails, and no form uses it. */
  syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA);
  limit_memory(arguments[0].value);
  pthread_t thread;
  if (pthread_create(&thread, NULL, watch, NULL) == 0) pthread_detach(thread);
  *result = (Value){0};
  return 0;
}

/* From now on the loops that this thread runs have so many threads at most. */
EXPORT int __tvm_ffi_paddle_tvm_threads(void *self, const Value *arguments, int32_t count, Value *result) {
  if (&__TVMBackendParallelLaunch) __TVMBackendParallelLaunch = (void *)paddle_tvm_parallel_launch;
  paddle_tvm_enter((int32_t)arguments[0].value);
  *result = (Value){0};
  return 0;
}
