#include <prune/dist/route.h>
#include <prune/dist/site_owners.h>
#include <prune/models/block_sites.h>

#include <algorithm>
#include <map>

namespace prune::dist {

BlockRoute route_through(const std::vector<models::LinearSpec>& linears,
                         const std::vector<bool>& chosen, stream::Order order, int64_t world_size) {
  std::map<int64_t, SiteRoute> sites;
  std::vector<SiteReader> readers;
  for (size_t i = 0; i < linears.size(); ++i) {
    if (!chosen[i]) continue;
    const models::LinearSpec& layer = linears[i];
    SiteRoute& site = sites[layer.site];
    site.site = layer.site;
    site.cols = layer.cols;
    site.readers.push_back(i);
    if (layer.expert >= 0) continue;
    readers.push_back({.site = layer.site, .rows = layer.rows, .cols = layer.cols});
  }
  const std::map<int64_t, int64_t> owners = site_owners(readers, world_size);
  BlockRoute route;
  for (auto& [number, site] : sites) {
    if (models::is_of_expert(number)) break;
    site.owner = owners.at(number);
    if (route.empty() || order == stream::Order::kSequential) route.emplace_back();
    route.back().push_back(std::move(site));
  }
  // As many experts at a time as there are ranks: first their first layers, then their last ones.
  const int64_t experts = linears.empty() ? 0 : linears.back().expert + 1;
  for (int64_t first = 0; first < experts; first += world_size) {
    for (const auto site_of : {models::first_site_of, models::last_site_of}) {
      Stage stage;
      for (int64_t expert = first; expert < std::min(first + world_size, experts); ++expert) {
        const auto site = sites.find(site_of(expert));
        if (site == sites.end()) continue;
        site->second.owner = expert - first;
        stage.push_back(std::move(site->second));
      }
      if (!stage.empty()) route.push_back(std::move(stage));
    }
  }
  return route;
}

std::vector<int64_t> sites_of(const Stage& stage) {
  std::vector<int64_t> sites;
  for (const SiteRoute& site : stage) sites.push_back(site.site);
  return sites;
}

void follow(const BlockRoute& route, int64_t rank, BlockSteps& steps) {
  for (const Stage& stage : route) {
    steps.accumulate(stage);
    for (const SiteRoute& site : stage) {
      if (site.owner != rank) continue;
      steps.factorize(site);
      for (const size_t reader : site.readers) steps.solve(site, reader);
      steps.release(site);
    }
    for (const SiteRoute& site : stage) {
      for (const size_t reader : site.readers) steps.share(site, reader);
    }
  }
}

}  // namespace prune::dist
