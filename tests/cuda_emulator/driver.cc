// A CUDA driver and runtime whose device is the CPU: what libtvm_runtime_cuda.so and our runtime call, as far as
// they do. Kernels are host code that device.h made of their CUDA source. "Device" memory can be read and written
// by kernels and copies alone; anything else that touches it ends the process.
#include <dlfcn.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace {

constexpr size_t kArena = size_t(16) << 30;
constexpr int kInvalid = 1, kOutOfMemory = 2, kNotFound = 500, kIllegalAddress = 700;

std::recursive_mutex mutex;
char *arena;
size_t arena_used;
std::map<size_t, std::vector<char *>> released;
std::map<char *, size_t> sizes;
int device_of_thread;
long counts[8];

struct Stream {
  std::vector<std::function<void()>> *recorded = nullptr;
};
Stream default_stream;
Stream *current(void *stream) { return stream ? static_cast<Stream *>(stream) : &default_stream; }

// Opens the device's memory while work of the device runs.
struct OnDevice {
  std::lock_guard<std::recursive_mutex> guard{mutex};
  static int depth;
  OnDevice() {
    if (depth++ == 0 && arena_used) mprotect(arena, arena_used, PROT_READ | PROT_WRITE);
  }
  ~OnDevice() {
    if (--depth == 0 && arena_used) mprotect(arena, arena_used, PROT_NONE);
  }
};
int OnDevice::depth = 0;

// With EMULATED_FAULTS, a kernel that touches memory which is not there ends the context, as on a GPU: whoever
// waits for it is told, and all that follows is refused. Without, it ends the process, which is easier to debug.
int lost;
bool guarded;
sigjmp_buf before_fault;

void on_fault(int signal) {
  if (guarded) siglongjmp(before_fault, 1);
  std::signal(signal, SIG_DFL);
}

void run_guarded(const std::function<void()> &work) {
  static const bool faults = getenv("EMULATED_FAULTS") != nullptr;
  if (!faults) return work();
  std::signal(SIGSEGV, on_fault);
  guarded = true;
  if (sigsetjmp(before_fault, 1) == 0)
    work();
  else
    lost = kIllegalAddress;
  guarded = false;
}

int submit(void *stream, std::function<void()> work) {
  if (lost) return lost;
  if (auto *recorded = current(stream)->recorded) {
    recorded->push_back(std::move(work));
    return 0;
  }
  OnDevice open;
  run_guarded(work);
  return 0;
}

struct Function {
  void *(*copy)(void **);
  void (*run)(void *, const unsigned *);
};

}  // namespace

extern "C" {

// Work that the device was given, for tests: kernels, copies, graphs started, bytes of memory in use.
long emulator_count(int what) { return what == 3 ? [] { long sum = 0; for (auto &entry : sizes) sum += entry.second; return sum; }() : counts[what]; }

// --- the driver ---

int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cudaGetDeviceCount(int *count);
int cuDeviceGetCount(int *count) { return cudaGetDeviceCount(count); }
int cudaDeviceGetAttribute(int *value, int attribute, int);
int cuDeviceGetAttribute(int *value, int attribute, int device) { return cudaDeviceGetAttribute(value, attribute, device); }
int cuGetErrorName(int, const char **text) { *text = "CUDA_ERROR_EMULATED"; return 0; }
int cuGetErrorString(int, const char **text) { *text = "the emulator refused"; return 0; }
int cuDeviceGetName(char *name, int length, int) { snprintf(name, length, "Emulated"); return 0; }
int cuFuncSetAttribute(void *, int, int) { return 0; }
int cuTensorMapEncodeTiled() { return kInvalid; }

// An image is its size and a shared library.
int cuModuleLoadData(void **module, const void *image) {
  uint64_t size;
  memcpy(&size, image, sizeof size);
  // The dynamic linker takes a path that it has seen for the library that it has: each gets its own.
  char path[] = P_tmpdir "/emulated-kernels-XXXXXX";
  int file = mkstemp(path);
  bool written = write(file, static_cast<const char *>(image) + sizeof size, size) == ssize_t(size);
  *module = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (written && !*module) fprintf(stderr, "emulator: %s\n", dlerror());
  close(file);
  unlink(path);
  return *module ? 0 : 209;
}
int cuModuleUnload(void *) { return 0; }

int cuModuleGetFunction(void **function, void *module, const char *name) {
  char symbol[512];
  snprintf(symbol, sizeof symbol, "%s__copy", name);
  auto made = std::make_unique<Function>();
  made->copy = reinterpret_cast<void *(*)(void **)>(dlsym(module, symbol));
  snprintf(symbol, sizeof symbol, "%s__run", name);
  made->run = reinterpret_cast<void (*)(void *, const unsigned *)>(dlsym(module, symbol));
  if (!made->copy || !made->run) return kNotFound;
  *function = made.release();
  return 0;
}

struct LaunchConfig { unsigned dims[6], shared; void *stream; void *attributes; unsigned count; };

int cuLaunchKernelEx(const LaunchConfig *config, Function *function, void **parameters, void **) {
  for (int i = 0; i < 6; ++i)
    if (config->dims[i] == 0) return kInvalid;
  if (config->dims[3] * config->dims[4] * config->dims[5] > 1024 || config->dims[1] > 65535) return kInvalid;
  void *arguments = function->copy(parameters);
  std::vector<unsigned> dims(config->dims, config->dims + 6);
  return submit(config->stream, [=] {
    ++counts[0];
    function->run(arguments, dims.data());
  });
}

// --- the runtime ---

const char *cudaGetErrorName(int) { return "cudaErrorEmulated"; }
const char *cudaGetErrorString(int error) {
  if (error == kIllegalAddress) return "an illegal memory access was encountered";
  return error == kOutOfMemory ? "out of memory" : "the emulator refused";
}
int cudaGetLastError() { return 0; }
int cudaPeekAtLastError() { return 0; }
int cudaGetDeviceCount(int *count) {
  const char *text = getenv("EMULATED_DEVICES");
  *count = text ? atoi(text) : 1;
  return *count ? 0 : 100;
}
int cudaSetDevice(int device) { device_of_thread = device; return 0; }
int cudaGetDevice(int *device) { *device = device_of_thread; return 0; }
int cudaDriverGetVersion(int *version) { *version = 13000; return 0; }
int cudaRuntimeGetVersion(int *version) { *version = 13000; return 0; }

int cudaDeviceGetAttribute(int *value, int attribute, int) {
  const char *text = getenv("EMULATED_CAPABILITY");
  const int capability = text ? atoi(text) : 90;
  switch (attribute) {
    case 75: *value = capability / 10; break;
    case 76: *value = capability % 10; break;
    case 10: *value = 32; break;
    case 8: *value = 49152; break;
    default: *value = 1024;
  }
  return 0;
}
int cudaGetDeviceProperties(char *properties, int) { memset(properties, 0, 256); strcpy(properties, "Emulated"); return 0; }

int cudaMalloc(void **pointer, size_t size) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  if (default_stream.recorded) return 900;
  if (lost) return lost;
  if (!arena) arena = static_cast<char *>(mmap(nullptr, kArena, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  size = (size + 4095) / 4096 * 4096 + 4096;
  auto &free_list = released[size];
  char *found;
  if (!free_list.empty()) {
    found = free_list.back();
    free_list.pop_back();
  } else {
    if (arena_used + size > kArena) return kOutOfMemory;
    found = arena + arena_used;
    arena_used += size;
  }
  sizes[found] = size;
  *pointer = found;
  OnDevice open;
  memset(found, 0xff, size);  // NaN, and not zero by chance
  return 0;
}
int cudaFree(void *pointer) {
  std::lock_guard<std::recursive_mutex> guard(mutex);
  if (!pointer) return 0;
  auto found = sizes.find(static_cast<char *>(pointer));
  if (found == sizes.end()) return kInvalid;
  released[found->second].push_back(found->first);
  sizes.erase(found);
  return 0;
}
int cudaMallocHost(void **pointer, size_t size) { *pointer = aligned_alloc(4096, (size + 4095) / 4096 * 4096); return *pointer ? 0 : kOutOfMemory; }
int cudaHostAlloc(void **pointer, size_t size, unsigned) { return cudaMallocHost(pointer, size); }
int cudaFreeHost(void *pointer) { free(pointer); return 0; }
int cudaMemGetInfo(size_t *left, size_t *total) { *total = kArena; *left = kArena - emulator_count(3); return 0; }

int cudaMemcpyAsync(void *to, const void *from, size_t size, int, void *stream) {
  return submit(stream, [=] {
    ++counts[1];
    memmove(to, from, size);
  });
}
int cudaMemcpy(void *to, const void *from, size_t size, int kind) { return cudaMemcpyAsync(to, from, size, kind, nullptr); }
int cudaMemcpyPeerAsync(void *to, int, const void *from, int, size_t size, void *stream) { return cudaMemcpyAsync(to, from, size, 4, stream); }
int cudaMemsetAsync(void *to, int value, size_t size, void *stream) { return submit(stream, [=] { memset(to, value, size); }); }

int cudaStreamCreate(void **stream) { *stream = new Stream; return 0; }
int cudaStreamCreateWithFlags(void **stream, unsigned) { return cudaStreamCreate(stream); }
int cudaStreamDestroy(void *stream) { delete static_cast<Stream *>(stream); return 0; }
int cudaStreamSynchronize(void *stream) { return current(stream)->recorded ? 900 : lost; }
int cudaDeviceSynchronize() { return lost; }
int cudaStreamWaitEvent(void *, void *, unsigned) { return 0; }
struct Event { timespec when; };
int cudaEventCreate(Event **event) { *event = new Event(); return 0; }
int cudaEventCreateWithFlags(Event **event, unsigned) { return cudaEventCreate(event); }
int cudaEventDestroy(Event *event) { delete event; return 0; }
int cudaEventRecord(Event *event, void *stream) {
  if (current(stream)->recorded) return 900;
  clock_gettime(CLOCK_MONOTONIC, &event->when);
  return 0;
}
int cudaEventSynchronize(void *) { return 0; }
int cudaEventElapsedTime(float *milliseconds, Event *first, Event *last) {
  *milliseconds = (last->when.tv_sec - first->when.tv_sec) * 1e3 + (last->when.tv_nsec - first->when.tv_nsec) / 1e6;
  return 0;
}

int cudaStreamBeginCapture(void *stream, int) {
  if (current(stream)->recorded) return kInvalid;
  current(stream)->recorded = new std::vector<std::function<void()>>;
  return 0;
}
int cudaStreamEndCapture(void *stream, void **graph) {
  *graph = current(stream)->recorded;
  current(stream)->recorded = nullptr;
  return *graph ? 0 : kInvalid;
}
int cudaGraphInstantiate(void **executable, void *graph, unsigned long long) {
  *executable = new std::vector<std::function<void()>>(*static_cast<std::vector<std::function<void()>> *>(graph));
  return 0;
}
int cudaGraphDestroy(void *graph) { delete static_cast<std::vector<std::function<void()>> *>(graph); return 0; }
int cudaGraphExecDestroy(void *executable) { return cudaGraphDestroy(executable); }
int cudaGraphLaunch(void *executable, void *stream) {
  ++counts[2];
  for (auto &work : *static_cast<std::vector<std::function<void()>> *>(executable)) submit(stream, work);
  return 0;
}

}  // extern "C"
