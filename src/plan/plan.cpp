#include <prune/core/memory.h>
#include <prune/plan/plan.h>

#include <algorithm>
#include <cmath>

namespace prune::plan {
namespace {

using nlohmann::json;

int64_t whole(double bytes) { return static_cast<int64_t>(std::llround(bytes)); }

RankShare busiest(const Plan& plan) { return split(plan.run, plan.world_size).front(); }

Moment peak_moment(const Plan& plan, double (Moment::*bytes)() const) {
  std::vector<Moment> all = moments(busiest(plan).run);
  return *std::ranges::max_element(all, {},
                                   [bytes](const Moment& moment) { return (moment.*bytes)(); });
}

int64_t layer_count(const RunShape& run) {
  int64_t count = 0;
  for (const auto& layers : run.chosen) count += static_cast<int64_t>(layers.size());
  return count;
}

int64_t weight_count(const RunShape& run) {
  int64_t weights = 0;
  for (const auto& layers : run.chosen) {
    for (const models::LinearSpec& layer : layers) weights += layer.rows * layer.cols;
  }
  return weights;
}

std::vector<std::string> passes(const RunShape& run) {
  std::vector<std::string> result;
  if (run.segments > 0) result.emplace_back("evaluate");
  if (run.estimates) result.emplace_back("estimate");
  if (run.trials > 0) result.emplace_back("score");
  result.emplace_back("prune");
  if (run.segments > 0) result.emplace_back("evaluate");
  return result;
}

// On the CPU the device's memory is the host's.
const char* states_place(const RunShape& run) {
  const bool host = !run.on_cuda && run.states_place == stream::StatesPlace::kDevice;
  return stream::place_name(host ? stream::StatesPlace::kHost : run.states_place);
}

std::string human_time(double elapsed_s) {
  if (elapsed_s < 120) return fmt::format("{:.1f} s", elapsed_s);
  if (elapsed_s < 120 * 60) return fmt::format("{:.0f} min", elapsed_s / 60);
  if (elapsed_s < 72 * 3600) return fmt::format("{:.1f} h", elapsed_s / 3600);
  return fmt::format("{:.1f} days", elapsed_s / 86400);
}

// What helps when this is most of what does not fit.
std::string remedy(const std::string& what, bool on_device) {
  if (what == "hidden states") return "fewer --nsamples or a shorter --seqlen";
  if (what == "activations of a batch") return "a shorter --seqlen";
  if (on_device) return "--device cpu, or a GPU with more memory";
  if (what == "Hessians" || what == "factorisation" || what == "factor" || what == "solver") {
    return "--exclude of the widest layers, or a machine with more memory";
  }
  return "a machine with more memory";
}

std::string largest_item(const Moment& moment, bool on_device) {
  const auto size = [on_device](const Moment::Item& item) {
    return item.on_device == on_device ? item.size_bytes : -1.0;
  };
  return std::ranges::max_element(moment.items, {}, size)->what;
}

json work_json(const std::vector<Phase>& phases) {
  json result = json::object();
  for (const Phase& phase : phases) {
    for (const Work& work : phase.work) {
      result[phase.name][work.what] = {
          {"amount", work.amount}, {"per_s", work.per_s}, {"elapsed_s", work.elapsed_s()}};
    }
  }
  return result;
}

json memory_json(const RunShape& run) {
  json result = json::array();
  for (const Moment& moment : moments(run)) {
    json items = json::array();
    for (const Moment::Item& item : moment.items) {
      items.push_back({{"what", item.what},
                       {"bytes", whole(item.size_bytes)},
                       {"place", item.on_device ? "device" : "host"}});
    }
    result.push_back({{"when", moment.when},
                      {"host", whole(moment.host_bytes())},
                      {"device", whole(moment.device_bytes())},
                      {"items", items}});
  }
  return result;
}

json ranks_json(const Plan& plan) {
  json result = json::array();
  for (const RankShare& share : split(plan.run, plan.world_size)) {
    result.push_back({{"rank", share.rank},
                      {"nsamples", share.run.nsamples},
                      {"segments", share.run.segments},
                      {"forward_flops", share.forward_flops},
                      {"hessian_flops", share.hessian_flops},
                      {"solver_flops", share.solver_flops},
                      {"sent_hessian_bytes", whole(share.sent_hessian_bytes)},
                      {"hidden_states_bytes", whole(states_bytes(share.run))}});
  }
  return result;
}

// "hidden states 1.50 GiB, Hessians 320.0 MiB, ...", the largest first.
std::string items_text(const Moment& moment, bool on_device, int64_t idle_bytes) {
  std::vector<Moment::Item> items = moment.items;
  if (!on_device) {
    items.push_back({.what = "the program", .size_bytes = static_cast<double>(idle_bytes)});
    items.push_back({.what = "free but not returned", .size_bytes = kHeapSlack});
  }
  std::erase_if(items, [on_device](const Moment::Item& item) {
    return item.on_device != on_device || item.size_bytes == 0.0;
  });
  std::ranges::stable_sort(items, std::greater<>(), &Moment::Item::size_bytes);
  std::string text;
  for (const Moment::Item& item : items) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", item.what,
                        human_bytes(whole(item.size_bytes)));
  }
  return text;
}

// "linear layers 61 %, Hessians 30 %, ...": what takes at least a hundredth.
std::string work_text(const Phase& phase) {
  std::vector<Work> work = phase.work;
  std::ranges::stable_sort(work, std::greater<>(), &Work::elapsed_s);
  std::string text;
  for (const Work& part : work) {
    const double share = 100 * part.elapsed_s() / phase.elapsed_s();
    if (work.size() < 2 || share < 1) continue;
    text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", part.what, share);
  }
  return text;
}

std::string memory_lines(const Plan& plan) {
  std::string text =
      fmt::format("  host memory    {} of {} available\n", human_bytes(plan.peak_host_bytes()),
                  human_bytes(plan.available_host_bytes));
  const Moment host = peak_moment(plan, &Moment::host_bytes);
  text += fmt::format("    {}: {}\n", host.when, items_text(host, false, plan.idle_bytes));
  if (!plan.run.on_cuda) return text;
  const Moment device = peak_moment(plan, &Moment::device_bytes);
  text += fmt::format(
      "  device memory  {} of {} available\n    {}: {}\n", human_bytes(plan.peak_device_bytes()),
      human_bytes(plan.available_device_bytes), device.when, items_text(device, true, 0));
  return text;
}

std::string rank_lines(const Plan& plan) {
  if (plan.world_size == 1) return "";
  const Exchange sent = exchange(plan.run, 0);
  const auto others = static_cast<double>(plan.world_size - 1);
  std::string text = fmt::format(
      "  {} ranks: for a block, {} of Hessians go to their owners in each pass and {} of weights "
      "from there; the time of that is not counted\n"
      "    rank  samples  segments  forward TFLOP  Hessian TFLOP  solver TFLOP  sends Hessians\n",
      plan.world_size, human_bytes(whole(others * sent.hessian_bytes)),
      human_bytes(whole(others * sent.weight_bytes)));
  for (const RankShare& share : split(plan.run, plan.world_size)) {
    text += fmt::format("    {:>4}  {:>7}  {:>8}  {:>13.2f}  {:>13.2f}  {:>12.2f}  {:>14}\n",
                        share.rank, share.run.nsamples, share.run.segments,
                        share.forward_flops / 1e12, share.hessian_flops / 1e12,
                        share.solver_flops / 1e12, human_bytes(whole(share.sent_hessian_bytes)));
  }
  return text;
}

}  // namespace

std::vector<Phase> Plan::all_phases() const {
  std::vector<Phase> all = {
      {.name = "open",
       .work = {{.what = "open", .amount = open_s, .per_s = 1.0},
                {.what = "hashing", .amount = input_bytes(run), .per_s = rates.hashed_bytes}},
       .reading = {.what = "reading", .amount = input_bytes(run), .per_s = rates.read_bytes}}};
  for (Phase& phase : phases(busiest(*this).run, rates)) all.push_back(std::move(phase));
  return all;
}

double Plan::elapsed_s() const {
  double sum_s = 0.0;
  for (const Phase& phase : all_phases()) sum_s += phase.elapsed_s();
  return sum_s;
}

int64_t Plan::peak_host_bytes() const {
  return std::max(open_peak_bytes, idle_bytes + kHeapSlack +
                                       whole(peak_moment(*this, &Moment::host_bytes).host_bytes()));
}

int64_t Plan::peak_device_bytes() const {
  return whole(peak_moment(*this, &Moment::device_bytes).device_bytes());
}

std::vector<std::string> shortages(const Plan& plan) {
  std::vector<std::string> result;
  const auto check = [&](const char* what, int64_t needed, int64_t available,
                         const std::string& helps) {
    if (needed <= available) return;
    result.push_back(fmt::format("{}: {} needed, {} available; what helps: {}", what,
                                 human_bytes(needed), human_bytes(available), helps));
  };
  check("host memory", plan.peak_host_bytes(), plan.available_host_bytes,
        remedy(largest_item(peak_moment(plan, &Moment::host_bytes), false), false));
  if (plan.run.on_cuda) {
    check("device memory", plan.peak_device_bytes(), plan.available_device_bytes,
          remedy(largest_item(peak_moment(plan, &Moment::device_bytes), true), true));
  }
  check("disk", whole(output_bytes(plan.run)), plan.available_disk_bytes,
        "--output on another disk");
  return result;
}

nlohmann::json to_json(const Plan& plan) {
  const RunShape& run = plan.run;
  const models::ModelShape& model = run.model;
  json elapsed_s = json::object();
  for (const Phase& phase : plan.all_phases()) elapsed_s[phase.name] = phase.elapsed_s();
  std::vector<std::string> warnings = plan.warnings;
  std::ranges::copy(shortages(plan), std::back_inserter(warnings));
  const Exchange sent = exchange(run, 0);
  return {
      {"schema", 1},
      {"model",
       {{"id", plan.id},
        {"family", model.config.model_type},
        {"blocks", model.config.blocks},
        {"hidden_size", model.config.hidden_size},
        {"parameters", model.parameters},
        {"dtype", dtype_name(run.stored_dtype)},
        {"computing_dtype", dtype_name(run.dtype)}}},
      {"layers", layer_count(run)},
      {"weights", weight_count(run)},
      {"calibration", {{"nsamples", run.nsamples}, {"seqlen", run.seqlen}}},
      {"segments", run.segments},
      {"passes", passes(run)},
      {"schedule", plan.schedule},
      {"device", plan.device},
      {"world_size", plan.world_size},
      {"hidden_states",
       {{"bytes", whole(states_bytes(busiest(plan).run))}, {"place", states_place(run)}}},
      {"elapsed_s", elapsed_s},
      {"work", work_json(plan.all_phases())},
      {"peak_memory_bytes",
       {{"host", plan.peak_host_bytes()}, {"device", plan.peak_device_bytes()}}},
      {"memory", memory_json(busiest(plan).run)},
      {"idle_memory_bytes", plan.idle_bytes},
      {"available_memory_bytes",
       {{"host", plan.available_host_bytes}, {"device", plan.available_device_bytes}}},
      {"output", {{"folder", plan.output}, {"bytes", whole(output_bytes(plan.run))}}},
      {"available_disk_bytes", plan.available_disk_bytes},
      {"exchange_per_block",
       {{"hessian_bytes", whole(sent.hessian_bytes)}, {"weight_bytes", whole(sent.weight_bytes)}}},
      {"ranks", ranks_json(plan)},
      {"warnings", warnings}};
}

std::string plan_table(const Plan& plan) {
  const RunShape& run = plan.run;
  std::string text = fmt::format(
      "{}: {}, {} blocks, hidden size {}, {:.1f} M parameters, {}; computing in {} on {}\n"
      "  prunes         {} layers, {} weights\n"
      "  calibration    {} x {} tokens; hidden states {} in {}\n"
      "  passes         {}\n"
      "  schedule       {}\n"
      "  output         {}: {} of {} available\n",
      plan.id, run.model.config.model_type, run.model.config.blocks, run.model.config.hidden_size,
      static_cast<double>(run.model.parameters) / 1e6, dtype_name(run.stored_dtype),
      dtype_name(run.dtype), plan.device, layer_count(run), weight_count(run), run.nsamples,
      run.seqlen, human_bytes(whole(states_bytes(busiest(plan).run))), states_place(run),
      fmt::join(passes(run), ", "), plan.schedule, plan.output,
      human_bytes(whole(output_bytes(plan.run))), human_bytes(plan.available_disk_bytes));
  text += memory_lines(plan);
  text += fmt::format("  time           {}\n", human_time(plan.elapsed_s()));
  for (const Phase& phase : plan.all_phases()) {
    text += fmt::format("    {:<12} {:>10}  {}\n", phase.name, human_time(phase.elapsed_s()),
                        work_text(phase));
  }
  text += rank_lines(plan);
  for (const std::string& warning : plan.warnings) text += "  warning: " + warning + "\n";
  for (const std::string& shortage : shortages(plan)) text += "  does not fit: " + shortage + "\n";
  return text;
}

}  // namespace prune::plan
