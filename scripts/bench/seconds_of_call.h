#pragma once

#include <ATen/ATen.h>

#include <chrono>
#include <utility>

/// Seconds of a call, including the device work that it queues.
template <class Action>
double seconds_of_call(at::Device device, Action&& action) {
  using Clock = std::chrono::steady_clock;
  // Reading a value back waits for all work queued on a GPU.
  const auto wait = [&] { at::zeros({1}, device).item<float>(); };
  wait();
  const auto start = Clock::now();
  std::forward<Action>(action)();
  wait();
  return std::chrono::duration<double>(Clock::now() - start).count();
}
