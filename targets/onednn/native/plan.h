/*
 * What loading makes of a subgraph, and runs.
 *
 * A Plan has primitives with the layouts that oneDNN prefers on this machine, weights in those layouts, and the
 * place of every intermediate tensor in one block of memory. An Instance is what one call of a plan needs
 * besides: oneDNN's handles of that memory.
 */
#ifndef PADDLE_TVM_ONEDNN_PLAN_H
#define PADDLE_TVM_ONEDNN_PLAN_H

#include <mutex>

#include "description.h"

namespace paddle_tvm {

/* Memory that tensors are in. */
struct Storage {
  enum Kind { INPUT, OUTPUT, INTERMEDIATE, CONSTANT } kind;
  int32_t number; /* of INPUT and OUTPUT, and of a CONSTANT that is not ours; -1 of others */
  uint64_t content = 0;       /* of a CONSTANT that is not ours */
  size_t bytes = 0;           /* what an INTERMEDIATE takes */
  size_t offset = 0;          /* where it lies in the arena */
  int32_t first = -1, last = -1; /* the actions between which it is needed */
  void *data = nullptr;       /* of CONSTANT */
};

struct Value {
  Layout layout;
  int32_t storage;
  /* A view may leave gaps, which primitives do not like. */
  bool is_view = false;
};

struct Argument {
  int index;
  Layout layout;
  int32_t storage;
};

struct Action {
  dnnl_primitive_t primitive;
  std::vector<Argument> arguments;
  std::string name, implementation, layouts;
};

/* The primitive that copies from one layout to another. */
Description reorder(const Layout &from, const Layout &to);

class Plan {
 public:
  /* A survey asks for primitives and makes none: to learn which layout the heavier convolutions prefer. */
  enum Purpose { SURVEY, RUN };
  Plan(Purpose purpose, int32_t threads, bool channels_last, const TVMFFIAny *constants, int32_t constant_count)
      : purpose(purpose),
        threads(threads),
        channels_last(channels_last),
        constants_(constants, constants + constant_count) {}

  /* After the steps: places tensors in memory. */
  void finish();
  void run(const TVMFFIAny *arguments);
  std::string describe() const;

  Tensor add(Layout layout, int32_t storage, bool is_view = false) {
    values.push_back({std::move(layout), storage, is_view});
    return {int32_t(values.size()) - 1};
  }
  int32_t add_storage(Storage::Kind kind, int32_t number) {
    storages.push_back({kind, number});
    return int32_t(storages.size()) - 1;
  }
  /* A tensor that the next action writes. */
  Tensor add_result(Layout layout) {
    int32_t storage = add_storage(Storage::INTERMEDIATE, 0);
    storages[storage].bytes = bytes_of(layout);
    return add(std::move(layout), storage);
  }
  Value &operator[](Tensor tensor) { return values[tensor.number]; }
  void *constant_data(int32_t number) const;

  void act(const std::string &name, const Description &description,
           std::vector<std::pair<int, Tensor>> arguments);
  /* The tensor in another layout. */
  Tensor convert(Tensor tensor, const Layout &layout, const char *name = "reorder");
  Tensor to_plain(Tensor tensor) { return convert(tensor, plain(dims(tensor), type(tensor))); }
  /* As the tensor lies, with elements of a type; plain where it would have to be copied, and has gaps. */
  Layout layout_in(Tensor tensor, Type wanted) {
    bool keeps_gaps = values[tensor.number].is_view && type(tensor) != wanted;
    return keeps_gaps ? plain(dims(tensor), wanted) : retyped(values[tensor.number].layout, wanted);
  }
  Tensor in_type(Tensor tensor, Type wanted) { return convert(tensor, layout_in(tensor, wanted)); }
  Tensor without_gaps(Tensor tensor) { return values[tensor.number].is_view ? to_plain(tensor) : tensor; }
  bool is_plain(Tensor tensor) { return same(values[tensor.number].layout, plain(dims(tensor), type(tensor))); }
  Dims dims(Tensor tensor) const { return dims_of(values[tensor.number].layout); }
  Type type(Tensor tensor) const { return type_of(values[tensor.number].layout); }
  bool is_constant(Tensor tensor) const {
    return storages[values[tensor.number].storage].kind == Storage::CONSTANT;
  }

  /* A convolution of so many multiplications prefers a layout. */
  void vote(const Layout &layout, double multiplications) {
    votes_[is_channels_last(layout)] += multiplications;
  }
  bool prefers_channels_last() const { return votes_[1] > votes_[0]; }

  const Purpose purpose;
  const int32_t threads;
  /* Whether convolutions should read and write channels last; else as oneDNN likes it for each. */
  const bool channels_last;
  std::vector<Value> values;
  std::vector<Storage> storages;
  std::vector<Action> actions;

 private:
  struct Instance {
    dnnl_stream_t stream;
    char *arena = nullptr;
    struct Memory {
      dnnl_memory_t handle;
      int32_t storage;
    };
    std::vector<Memory> memories;
    std::vector<std::vector<dnnl_exec_arg_t>> arguments;
  };
  Instance &instance(size_t number);
  void *new_constant(size_t bytes);
  /* A constant in a layout, in memory of ours: what was given to `load` may be gone afterwards. */
  void *packed(const Storage &constant, const Layout &from, const Layout &to);
  void execute_now(const Description &description, const Layout &from, void *source, const Layout &to, void *target);

  std::vector<TVMFFIAny> constants_;
  double votes_[2] = {0, 0};
  std::vector<std::pair<int32_t, Tensor>> converted_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Instance>> instances_;
  size_t arena_bytes_ = 0;
};

}  // namespace paddle_tvm

#endif
