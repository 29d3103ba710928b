#pragma once

#include <ATen/ATen.h>

#include <chrono>
#include <utility>

/// Seconds that a call takes, and all that it asks of the device.
template <class Action>
double seconds_of_call(at::Device device, Action&& action) {
  using Clock = std::chrono::steady_clock;
  // Reading a value back waits for all that was asked of a GPU before.
  const auto wait = [&] { at::zeros({1}, device).item<float>(); };
  wait();
  const auto start = Clock::now();
  std::forward<Action>(action)();
  wait();
  return std::chrono::duration<double>(Clock::now() - start).count();
}
