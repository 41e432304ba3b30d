/*
 * Loads and runs a subgraph.
 */
#include "network.h"
#include "plan.h"

namespace paddle_tvm {
namespace {

template <class Do>
int guarded(const Do &what) {
  try {
    what();
    return 0;
  } catch (const std::bad_alloc &) {
    TVMFFIErrorSetRaisedFromCStr("MemoryError", "oneDNN: out of memory");
  } catch (const std::exception &error) {
    TVMFFIErrorSetRaisedFromCStr("RuntimeError", error.what());
  }
  return -1;
}

}  // namespace

int Subgraph::load(const TVMFFIAny *constants, int32_t count) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(mutex_);
    int32_t threads = paddle_tvm_pool->threads();
    onednn();
    for (Plan *plan : *plans_)
      if (plan->threads == threads) return;
    Plan survey(Plan::SURVEY, threads, false, constants, count);
    Network surveyed(survey, type_);
    build_(surveyed);
    auto plan = std::make_unique<Plan>(Plan::RUN, threads, survey.prefers_channels_last(), constants, count);
    Network network(*plan, type_);
    build_(network);
    plan->finish();
    plans_->push_back(plan.release());
  });
}

int Subgraph::run(const TVMFFIAny *arguments, int32_t count) {
  return guarded([&] {
    int32_t threads = paddle_tvm_pool->threads();
    Plan *chosen = nullptr;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (Plan *plan : *plans_)
        if (chosen == nullptr || plan->threads == threads) chosen = plan;
    }
    if (chosen == nullptr) fail("the model was not loaded by paddle_tvm.runtime");
    chosen->run(arguments);
  });
}

int Subgraph::describe(TVMFFIAny *result) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(mutex_);
    std::string text = plans_->empty() ? "[]" : plans_->front()->describe();
    TVMFFIByteArray bytes = {text.data(), text.size()};
    if (TVMFFIStringFromByteArray(&bytes, result) != 0) fail("no memory for a description");
  });
}

}  // namespace paddle_tvm
