#include <prune/dist/site_owners.h>

#include <algorithm>
#include <functional>

namespace prune::dist {
namespace {

// Fixed cost of the column loop per weight, in columns of the trailing update (src/dist/README.md, "Owners").
constexpr double kLoopColumns = 550;

// Cholesky factorisation of a [cols, cols] Hessian.
double factor_flops(int64_t cols) {
  const auto n = static_cast<double>(cols);
  return n * n * n / 3;
}

double solver_flops(const SiteReader& reader) {
  return static_cast<double>(reader.rows) * static_cast<double>(reader.cols) *
         (static_cast<double>(reader.cols) + kLoopColumns);
}

struct Job {
  int64_t site = 0;
  double flops = 0.0;
};

}  // namespace

std::map<int64_t, int64_t> site_owners(const std::vector<SiteReader>& readers, int64_t world_size) {
  std::map<int64_t, std::vector<SiteReader>> by_site;
  for (const SiteReader& reader : readers) by_site[reader.site].push_back(reader);
  std::vector<Job> jobs;
  for (const auto& [site, of_site] : by_site) {
    double flops = factor_flops(of_site.back().cols);
    for (const SiteReader& reader : of_site) flops += solver_flops(reader);
    jobs.push_back({site, flops});
  }
  std::ranges::stable_sort(jobs, std::greater<>(), &Job::flops);
  std::vector<double> busy(static_cast<size_t>(world_size));
  std::map<int64_t, int64_t> owners;
  for (const Job& job : jobs) {
    const auto owner = std::ranges::min_element(busy) - busy.begin();
    busy[static_cast<size_t>(owner)] += job.flops;
    owners[job.site] = owner;
  }
  const auto busiest = std::ranges::max_element(busy) - busy.begin();
  for (auto& [site, owner] : owners) {
    if (owner == 0 || owner == busiest) owner = busiest - owner;
  }
  return owners;
}

}  // namespace prune::dist
