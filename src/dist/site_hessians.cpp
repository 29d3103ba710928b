#include <prune/core/error.h>
#include <prune/dist/site_hessians.h>
#include <prune/hessian/factorize.h>

namespace prune::dist {
namespace {

// A numeric fault of a site names the first layer that reads it.
template <class Action>
auto naming(const models::Block& block, const SiteRoute& site, const Action& action) {
  try {
    return action();
  } catch (Error& error) {
    if (error.kind() == ErrorKind::kNumeric) error.in(block.linears()[site.readers.front()].name);
    throw;
  }
}

}  // namespace

std::vector<bool> chosen_in(const models::Block& block, const std::set<std::string>& names) {
  std::vector<bool> chosen;
  for (const models::Linear& layer : block.linears()) chosen.push_back(names.contains(layer.name));
  return chosen;
}

BlockRoute route_through(const models::Block& block, const std::vector<bool>& chosen,
                         stream::Order order, int64_t world_size) {
  return route_through(block.specs(), chosen, order, world_size);
}

SiteHessians::SiteHessians(const BlockRoute& route, const models::Block& block,
                           const SampleSplit& split, Communicator& comm)
    : block_(&block), comm_(&comm) {
  for (const Stage& stage : route) {
    for (const SiteRoute& site : stage) {
      sums_.try_emplace(site.site, site.cols, block.linears().front().weight.device(), split, comm);
    }
  }
}

void SiteHessians::on_site(int64_t site, const Tensor& x) {
  const auto found = sums_.find(site);
  if (found != sums_.end()) found->second.add(hessian::all_rows(x));
}

void SiteHessians::on_expert_site(int64_t site, const models::ExpertRows& rows) {
  const auto found = sums_.find(site);
  if (found == sums_.end()) return;
  const Tensor x = rows.weight.defined() ? rows.x * rows.weight.sqrt().unsqueeze(1) : rows.x;
  const Tensor sample = at::floor_divide(rows.token, rows.seqlen);
  found->second.add({.x = x, .sample = sample, .samples = rows.samples});
}

void SiteHessians::on_load(models::ExpertLoad& load) {
  const int64_t experts = load.tokens.size(0);
  const Tensor all = at::full({1}, static_cast<double>(load.all_tokens), at::kDouble);
  const Tensor mine = at::cat({load.tokens, load.squared_gates, all});
  const Tensor sums = comm_->gather(mine.unsqueeze(0)).sum(0);
  load.tokens = sums.slice(0, 0, experts);
  load.squared_gates = sums.slice(0, experts, 2 * experts);
  load.all_tokens = static_cast<int64_t>(sums[2 * experts].item<double>());
  load_ = load;
}

void SiteHessians::reduce_(const SiteRoute& site) {
  naming(*block_, site, [&] { sums_.at(site.site).reduce_(site.owner); });
}

Tensor SiteHessians::take(const SiteRoute& site) { return sums_.at(site.site).finish(); }

hessian::HessianFactor SiteHessians::factorize(const SiteRoute& site, double percdamp,
                                               bool act_order) {
  return naming(*block_, site, [&] {
    Tensor hessian = take(site);
    return hessian::factorize_(hessian, percdamp, act_order);
  });
}

EstimateObserver::EstimateObserver(const BlockRoute& route, const models::Block& block,
                                   const SampleSplit& split, Communicator& comm)
    : SiteHessians(route, block, split, comm) {
  for (const Stage& stage : route) {
    for (const SiteRoute& site : stage) {
      for (const size_t reader : site.readers) energies_[block.linears()[reader].name] = {};
    }
  }
}

void EstimateObserver::on_output(const models::Linear& layer, const Tensor& y) {
  const auto found = energies_.find(layer.name);
  if (found != energies_.end()) found->second.add(y, layer.bias);
}

}  // namespace prune::dist
