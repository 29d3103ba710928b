#include <prune/core/json_file.h>
#include <prune/core/memory.h>
#include <prune/plan/plan.h>

#include <algorithm>
#include <cmath>

namespace prune::plan {
namespace {

int64_t whole(double bytes) { return static_cast<int64_t>(std::llround(bytes)); }

double host_bytes(const Moment& moment) { return moment.total().host; }
double device_bytes(const Moment& moment) { return moment.total().device; }

const Moment& peak_moment(const Plan& plan, double (*bytes)(const Moment&)) {
  return *std::ranges::max_element(plan.price.moments, {}, bytes);
}

int64_t layer_count(const RunShape& run) {
  int64_t count = 0;
  for (const auto& chosen : run.chosen) count += std::ranges::count(chosen, true);
  return count;
}

int64_t weight_count(const RunShape& run) {
  int64_t weights = 0;
  for (int64_t block = 0; block < run.blocks(); ++block) {
    const std::vector<bool>& chosen = run.chosen[static_cast<size_t>(block)];
    for (size_t i = 0; i < chosen.size(); ++i) {
      const models::LinearSpec& layer = run.model.linears(block)[i];
      if (chosen[i]) weights += layer.rows * layer.cols;
    }
  }
  return weights;
}

std::vector<std::string> passes(const RunShape& run) {
  std::vector<std::string> result;
  if (run.choice.elements > 0) result.emplace_back("choose");
  if (run.segments > 0) result.emplace_back("evaluate");
  if (run.estimates) result.emplace_back("estimate");
  if (run.trials > 0) result.emplace_back("score");
  if (!run.adopts) result.emplace_back("prune");
  if (run.recovery.steps > 0) result.emplace_back("recover");
  if (run.segments > 0) result.emplace_back("evaluate");
  return result;
}

// On the CPU the device's memory is the host's.
const char* states_place(const RunShape& run) {
  const stream::StatesPlace place = stream::choose_place(states_bytes(run), run.device);
  const bool host = run.device.is_cpu() && place == stream::StatesPlace::kDevice;
  return stream::place_name(host ? stream::StatesPlace::kHost : place);
}

std::string human_time(double elapsed_s) {
  if (elapsed_s < 120) return fmt::format("{:.1f} s", elapsed_s);
  if (elapsed_s < 120 * 60) return fmt::format("{:.0f} min", elapsed_s / 60);
  if (elapsed_s < 72 * 3600) return fmt::format("{:.1f} h", elapsed_s / 3600);
  return fmt::format("{:.1f} days", elapsed_s / 86400);
}

// What helps if this item is most of what does not fit.
std::string remedy(const std::string& what, bool on_device) {
  if (what == "hidden states" || what == "kept activations") {
    return "fewer --nsamples or a shorter --seqlen";
  }
  if (what == "forward" || what == "logits") return "a shorter --seqlen";
  if (on_device) return "--device cpu, or a GPU with more memory";
  if (what == "Hessians" || what == "factorisation" || what == "factor" || what == "solver") {
    return "--exclude of the widest layers, or a machine with more memory";
  }
  return "a machine with more memory";
}

std::string largest_item(const Moment& moment, bool on_device) {
  return std::ranges::max_element(moment.items, {},
                                  [on_device](const Moment::Item& item) {
                                    return on_device ? item.size.device : item.size.host;
                                  })
      ->what;
}

json phases_json(const Plan& plan) {
  json result = json::object();
  for (const Phase& phase : plan.price.phases) {
    result[phase.name] = phase.work_s;
    result[phase.name]["reading"] = phase.reading_s;
    result[phase.name]["writing beside"] = phase.writing_s;
  }
  return result;
}

json memory_json(const Plan& plan) {
  json result = json::array();
  for (const Moment& moment : plan.price.moments) {
    json items = json::array();
    for (const Moment::Item& item : moment.items) {
      items.push_back({{"what", item.what},
                       {"host", whole(item.size.host)},
                       {"device", whole(item.size.device)}});
    }
    result.push_back({{"when", moment.when},
                      {"host", whole(moment.total().host)},
                      {"device", whole(moment.total().device)},
                      {"items", items}});
  }
  return result;
}

json ranks_json(const RunShape& run) {
  json result = json::array();
  for (const RankShare& share : rank_shares(run)) {
    result.push_back({{"rank", share.rank},
                      {"nsamples", share.nsamples},
                      {"segments", share.segments},
                      {"hessian_flops", share.hessian_flops},
                      {"solved_layers", share.solved_layers},
                      {"sent_hessian_bytes", share.sent_hessian_bytes}});
  }
  return result;
}

// "hidden states 1.50 GiB, Hessians 320.0 MiB, ...", the largest first.
std::string items_text(const Moment& moment, bool on_device, int64_t idle_bytes) {
  std::vector<std::pair<std::string, double>> items;
  for (const Moment::Item& item : moment.items) {
    items.emplace_back(item.what, on_device ? item.size.device : item.size.host);
  }
  if (!on_device) {
    items.emplace_back("the program", static_cast<double>(idle_bytes));
    items.emplace_back("freed but not returned", static_cast<double>(kHeapSlack));
  }
  std::erase_if(items, [](const auto& item) { return item.second <= 0.0; });
  std::ranges::stable_sort(items, std::greater<>(), &std::pair<std::string, double>::second);
  std::string text;
  for (const auto& [what, size] : items) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", what, human_bytes(whole(size)));
  }
  return text;
}

// "forward and Hessians 61 %, solver 30 %, ...": what takes at least a hundredth.
std::string work_text(const Phase& phase) {
  std::vector<std::pair<std::string, double>> work(phase.work_s.begin(), phase.work_s.end());
  std::ranges::stable_sort(work, std::greater<>(), &std::pair<std::string, double>::second);
  std::string text;
  for (const auto& [what, elapsed_s] : work) {
    const double share = 100 * elapsed_s / phase.elapsed_s();
    if (work.size() < 2 || share < 1) continue;
    text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", what, share);
  }
  return text;
}

std::string memory_lines(const Plan& plan) {
  std::string text =
      fmt::format("  host memory    {} of {} available\n", human_bytes(plan.peak_host_bytes()),
                  human_bytes(plan.available_host_bytes));
  const Moment& on_host = peak_moment(plan, host_bytes);
  text += fmt::format("    {}: {}\n", on_host.when, items_text(on_host, false, plan.idle_bytes));
  if (plan.run.device.is_cpu()) return text;
  const Moment& on_device = peak_moment(plan, device_bytes);
  text += fmt::format(
      "  device memory  {} of {} available\n    {}: {}\n", human_bytes(plan.peak_device_bytes()),
      human_bytes(plan.available_device_bytes), on_device.when, items_text(on_device, true, 0));
  return text;
}

std::string rank_lines(const Plan& plan) {
  if (plan.run.world_size == 1) return "";
  const Exchange sent = exchange(plan.run);
  const int64_t others = plan.run.world_size - 1;
  std::string text = fmt::format(
      "  {} ranks: for a block, on average, {} of Hessians go to their owners in each pass and {} "
      "of "
      "pruned weights come back; the time of that is not counted\n"
      "    rank  samples  segments  Hessian TFLOP  solves layers  sends Hessians\n",
      plan.run.world_size, human_bytes(others * sent.hessian_bytes),
      human_bytes(others * sent.weight_bytes));
  for (const RankShare& share : rank_shares(plan.run)) {
    text += fmt::format("    {:>4}  {:>7}  {:>8}  {:>13.2f}  {:>13}  {:>14}\n", share.rank,
                        share.nsamples, share.segments, share.hessian_flops / 1e12,
                        share.solved_layers, human_bytes(share.sent_hessian_bytes));
  }
  return text;
}

}  // namespace

double Plan::elapsed_s() const {
  double sum_s = open_s + hash_s;
  for (const Phase& phase : price.phases) sum_s += phase.elapsed_s();
  return sum_s;
}

int64_t Plan::peak_host_bytes() const {
  return std::max(open_peak_bytes,
                  idle_bytes + kHeapSlack + whole(host_bytes(peak_moment(*this, host_bytes))));
}

int64_t Plan::peak_device_bytes() const {
  return whole(device_bytes(peak_moment(*this, device_bytes)));
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
        remedy(largest_item(peak_moment(plan, host_bytes), false), false));
  if (plan.run.device.is_cuda()) {
    check("device memory", plan.peak_device_bytes(), plan.available_device_bytes,
          remedy(largest_item(peak_moment(plan, device_bytes), true), true));
  }
  check("disk", output_bytes(plan.run) + recovery_bytes(plan.run), plan.available_disk_bytes,
        "--output on another disk");
  return result;
}

nlohmann::json to_json(const Plan& plan) {
  const RunShape& run = plan.run;
  const models::ModelShape& model = run.model;
  json elapsed_s = {{"open", plan.open_s + plan.hash_s}};
  for (const Phase& phase : plan.price.phases) elapsed_s[phase.name] = phase.elapsed_s();
  std::vector<std::string> warnings = plan.warnings;
  std::ranges::copy(shortages(plan), std::back_inserter(warnings));
  const Exchange sent = exchange(run);
  return {{"schema", 1},
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
          {"world_size", run.world_size},
          {"hidden_states", {{"bytes", states_bytes(run)}, {"place", states_place(run)}}},
          {"elapsed_s", elapsed_s},
          {"work", phases_json(plan)},
          {"peak_memory_bytes",
           {{"host", plan.peak_host_bytes()}, {"device", plan.peak_device_bytes()}}},
          {"memory", memory_json(plan)},
          {"idle_memory_bytes", plan.idle_bytes},
          {"available_memory_bytes",
           {{"host", plan.available_host_bytes}, {"device", plan.available_device_bytes}}},
          {"output", {{"folder", plan.output}, {"bytes", output_bytes(run)}}},
          {"recovery_disk_bytes", recovery_bytes(run)},
          {"available_disk_bytes", plan.available_disk_bytes},
          {"exchange_per_block",
           {{"hessian_bytes", sent.hessian_bytes}, {"weight_bytes", sent.weight_bytes}}},
          {"ranks", ranks_json(run)},
          {"warnings", warnings}};
}

std::string plan_table(const Plan& plan) {
  const RunShape& run = plan.run;
  std::string text = fmt::format(
      "{}: {}, {} blocks, hidden size {}, {:.1f} M parameters, {}; computing in {} on {}\n"
      "  {:<14} {} layers, {} weights\n"
      "  calibration    {} x {} tokens; hidden states {} in {}\n"
      "  passes         {}\n"
      "  schedule       {}\n"
      "  output         {}: {} of {} available\n",
      plan.id, run.model.config.model_type, run.blocks(), run.model.config.hidden_size,
      static_cast<double>(run.model.parameters) / 1e6, dtype_name(run.stored_dtype),
      dtype_name(run.dtype), plan.device, run.adopts ? "writes" : "prunes", layer_count(run),
      weight_count(run), run.nsamples, run.seqlen, human_bytes(states_bytes(run)),
      states_place(run), fmt::join(passes(run), ", "), plan.schedule, plan.output,
      human_bytes(output_bytes(run) + recovery_bytes(run)), human_bytes(plan.available_disk_bytes));
  text += memory_lines(plan);
  text += fmt::format("  time           {}\n", human_time(plan.elapsed_s()));
  text += fmt::format("    {:<12} {:>10}\n", "open", human_time(plan.open_s + plan.hash_s));
  for (const Phase& phase : plan.price.phases) {
    text += fmt::format("    {:<12} {:>10}  {}\n", phase.name, human_time(phase.elapsed_s()),
                        work_text(phase));
  }
  text += rank_lines(plan);
  for (const std::string& warning : plan.warnings) text += "  warning: " + warning + "\n";
  for (const std::string& shortage : shortages(plan)) text += "  does not fit: " + shortage + "\n";
  return text;
}

}  // namespace prune::plan
