#include <prune/core/interrupt.h>
#include <prune/dist/calibrated_steps.h>

namespace prune::dist {

void CalibratedSteps::accumulate(const Stage& stage) {
  calibration_.observe(block_, sites_of(stage), hessians_);
  for (const SiteRoute& site : stage) hessians_.reduce_(site);
}

void CalibratedSteps::factorize(const SiteRoute& site) {
  factor_ = hessians_.factorize(site, options_.percdamp, options_.act_order);
}

void CalibratedSteps::release(const SiteRoute&) { factor_ = {}; }

models::Linear& CalibratedSteps::begin(size_t reader) {
  throw_if_interrupted();
  models::Linear& layer = block_.linears()[reader];
  progress_.detail(layer.name);
  return layer;
}

}  // namespace prune::dist
