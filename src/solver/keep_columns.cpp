#include <prune/solver/keep_columns.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace prune::solver {
namespace {

// Columns that are removed together, and those with the lowest scores among which they are chosen one by one.
constexpr int64_t kColumnsAtOnce = 64;
constexpr int64_t kCandidates = 256;

/// (H + damp I)⁻¹. With rows and columns reversed, V is the lower factor that LAPACK inverts.
Tensor inverse_of(const hessian::HessianFactor& factor) {
  return at::cholesky_inverse(factor.v.flip({0, 1})).flip({0, 1}).contiguous();
}

/// The layer in which some columns have been removed: their weights are zero.
struct Reduced {
  Tensor weight;  // [rows, cols]
  Tensor
      inverse;  // [cols, cols]: of the Hessian without the removed columns, whose rows and columns are zero

  /// tr(W_S (H⁻¹_SS)⁻¹ W_Sᵀ)
  double cost(const Tensor& columns) const {
    const Tensor part = weight.index_select(1, columns).to(at::kDouble);
    return at::mm(part, among(columns)).mul(part).sum().item<double>();
  }

  void remove_(const Tensor& columns) {
    const Tensor rows = inverse.index_select(0, columns);
    const Tensor change = at::mm(among(columns).to(at::kFloat), rows);
    weight.addmm_(weight.index_select(1, columns), change, 1.0, -1.0);
    inverse.addmm_(rows.t(), change, 1.0, -1.0);
    weight.index_fill_(1, columns, 0.0);
    inverse.index_fill_(0, columns, 0.0);
    inverse.index_fill_(1, columns, 0.0);
  }

 private:
  // (H⁻¹_SS)⁻¹ in float64
  Tensor among(const Tensor& columns) const {
    return at::linalg_inv(
        inverse.index_select(0, columns).index_select(1, columns).to(at::kDouble));
  }
};

/// The columns of least cost, one after the other, among candidates.
/// @param gram [n, n] of the candidates' weights, W_Cᵀ W_C. @param inverse [n, n]. Both change.
std::vector<int64_t> cheapest_(Tensor& gram, Tensor& inverse, int64_t count) {
  std::vector<int64_t> chosen;
  const double infinity = std::numeric_limits<double>::infinity();
  Tensor gone = at::zeros({gram.size(0)}, gram.options().dtype(at::kBool));
  for (int64_t i = 0; i < count; ++i) {
    const Tensor cost = gram.diagonal().div(inverse.diagonal()).masked_fill(gone, infinity);
    const auto column = cost.argmin().item<int64_t>();
    chosen.push_back(column);
    gone[column] = true;
    // W_C loses w hᵀ / h_cc: what that does to its products.
    const Tensor h = inverse[column] / inverse[column][column];
    const Tensor g = gram[column].clone();
    gram.sub_(at::outer(h, g))
        .sub_(at::outer(g, h))
        .add_(at::outer(h, h), g[column].item<double>());
    inverse.sub_(at::outer(h, inverse[column].clone()));
  }
  return chosen;
}

/// @param diagonal of the Hessian. @return [cols] bool, true for the columns that stay
Tensor remove_single_columns_(Reduced& layer, const Tensor& diagonal, int64_t keep) {
  const int64_t cols = layer.weight.size(1);
  const Tensor least = diagonal.reciprocal();  // of H⁻¹_jj, whatever rounding says
  Tensor stays = at::ones({cols}, diagonal.options().dtype(at::kBool));
  for (int64_t left = cols; left > keep;) {
    const int64_t count = std::min(kColumnsAtOnce, left - keep);
    const Tensor cost =
        layer.weight.square()
            .sum(0)
            .div(layer.inverse.diagonal().maximum(least))
            .masked_fill(stays.logical_not(), std::numeric_limits<double>::infinity());
    const Tensor candidates =
        std::get<1>(cost.topk(std::min(left, kCandidates), 0, /*largest=*/false));
    const Tensor weights = layer.weight.index_select(1, candidates).to(at::kDouble);
    // Small, and read column by column: on the CPU wherever the layer is.
    Tensor gram = at::mm(weights.t(), weights).cpu();
    Tensor inverse =
        layer.inverse.index_select(0, candidates).index_select(1, candidates).to(at::kDouble).cpu();
    const Tensor chosen = at::tensor(cheapest_(gram, inverse, count), at::kLong);
    const Tensor columns = candidates.index_select(0, chosen.to(candidates.device()));
    layer.remove_(columns);
    stays.index_fill_(0, columns, false);
    left -= count;
  }
  return stays;
}

void remove_units_(Reduced& layer, std::vector<int64_t>& units, int64_t columns_of_unit,
                   int64_t keep) {
  const auto columns_in = [&](int64_t unit) {
    return at::arange(unit * columns_of_unit, (unit + 1) * columns_of_unit,
                      layer.weight.options().dtype(at::kLong));
  };
  while (std::ssize(units) > keep) {
    std::vector<double> costs;
    for (const int64_t unit : units) costs.push_back(layer.cost(columns_in(unit)));
    const auto cheapest = units.begin() + (std::ranges::min_element(costs) - costs.begin());
    layer.remove_(columns_in(*cheapest));
    units.erase(cheapest);
  }
}

}  // namespace

Tensor columns_of_units(const Tensor& units, int64_t columns_of_unit) {
  return units.unsqueeze(1)
      .mul(columns_of_unit)
      .add(at::arange(columns_of_unit, units.options()))
      .flatten();
}

KeptColumns keep_columns(const Tensor& weight, const hessian::HessianFactor& factor,
                         int64_t columns_of_unit, int64_t keep) {
  const Tensor dense = weight.to(at::kFloat).masked_fill(factor.dead, 0.0);
  const int64_t count = dense.size(1) / columns_of_unit;
  Tensor units;
  {
    Reduced layer{.weight = dense.clone(), .inverse = inverse_of(factor)};
    if (columns_of_unit == 1) {
      units =
          remove_single_columns_(layer, factor.hessian.diagonal(), keep).nonzero().flatten().cpu();
    } else {
      std::vector<int64_t> left(static_cast<size_t>(count));
      for (int64_t unit = 0; unit < count; ++unit) left[static_cast<size_t>(unit)] = unit;
      remove_units_(layer, left, columns_of_unit, keep);
      units = at::tensor(left, at::kLong);
    }
  }
  const Tensor columns = columns_of_units(units, columns_of_unit).to(dense.device());
  // Normal equations of the columns K that stay: W' H_KK = W H_K.
  const Tensor products = at::mm(dense, factor.hessian);
  const Tensor right = products.index_select(1, columns);
  const Tensor lower =
      at::linalg_cholesky(factor.hessian.index_select(0, columns).index_select(1, columns));
  const Tensor kept = at::cholesky_solve(right.t(), lower).t().contiguous();
  const auto sum_of_products = [](const Tensor& a, const Tensor& b) {
    return a.to(at::kDouble).mul(b).sum().item<double>();
  };
  const double energy = sum_of_products(products, dense);
  return {.units = units,
          .weight = kept,
          .loss = std::max(0.0, energy - sum_of_products(right, kept)),
          .energy = energy};
}

}  // namespace prune::solver
