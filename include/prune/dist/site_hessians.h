#pragma once

#include <prune/dist/hessian_sum.h>
#include <prune/dist/route.h>
#include <prune/hessian/energies.h>
#include <prune/hessian/factor.h>
#include <prune/models/block.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace prune::dist {

/// For each linear layer of a block, whether it is named in `names`.
std::vector<bool> chosen_in(const models::Block& block, const std::set<std::string>& names);

/// The route of a pass through a block in memory.
BlockRoute route_through(const models::Block& block, const std::vector<bool>& chosen,
                         stream::Order order, int64_t world_size);

/// The Hessians of a block's sites over the calibration samples. Every rank adds its own samples; the sum then
/// comes together at the site's owner (src/dist/README.md, "Owners").
class SiteHessians : public models::BlockObserver {
 public:
  /// Sites that are not on the route are ignored.
  SiteHessians(const BlockRoute& route, const models::Block& block, const SampleSplit& split,
               Communicator& comm);

  void on_site(int64_t site, const Tensor& x) override;
  void on_expert_site(int64_t site, const models::ExpertRows& rows) override;
  /// Sums the load over the ranks. Called by all of them.
  void on_load(models::ExpertLoad& load) override;

  /// What the experts have got, once they are reached.
  const models::ExpertLoad& load() const { return load_; }

  /// Sums a site's Hessian over the ranks at its owner. Called by all ranks once the samples are added.
  /// @throws Error(numeric) naming the site's first reader
  void reduce_(const SiteRoute& site);

  /// The Hessian [cols, cols], on its owner after reduce_(); its memory is handed over.
  Tensor take(const SiteRoute& site);

  /// Factors the Hessian on its owner and frees it. @throws Error(numeric) as reduce_()
  hessian::HessianFactor factorize(const SiteRoute& site, double percdamp, bool act_order);

 private:
  const models::Block* block_;
  Communicator* comm_;
  std::map<int64_t, HessianSum> sums_;
  models::ExpertLoad load_;
};

/// Collects what the estimate pass needs of one forward: Hessians of the sites, energies of the chosen outputs.
class EstimateObserver : public SiteHessians {
 public:
  EstimateObserver(const BlockRoute& route, const models::Block& block, const SampleSplit& split,
                   Communicator& comm);

  void on_output(const models::Linear& layer, const Tensor& y) override;

  const hessian::OutputEnergy& energy(const std::string& layer) const {
    return energies_.at(layer);
  }

 private:
  std::map<std::string, hessian::OutputEnergy> energies_;  // by layer
};

}  // namespace prune::dist
