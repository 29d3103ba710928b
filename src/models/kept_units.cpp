#include "kept_units.h"

#include <optional>
#include <string>

#include "kept_experts.h"

namespace prune::models {
namespace {

using checkpoint::Checkpoint;

/// Positions of the kept units, each of `size` neighbours, counted from `first` on.
std::vector<int64_t> positions_of(const std::vector<int64_t>& kept, int64_t size,
                                  int64_t first = 0) {
  std::vector<int64_t> positions;
  for (const int64_t unit : kept) {
    for (int64_t i = 0; i < size; ++i) positions.push_back(first + unit * size + i);
  }
  return positions;
}

void append(std::vector<int64_t>& list, const std::vector<int64_t>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

void select_rows(Checkpoint& source, const std::string& prefix, const LinearSpec& layer,
                 const std::vector<int64_t>& rows) {
  const checkpoint::TensorRef stored = layer.weight_in(prefix);
  source.select(stored.name, stored.transposed ? 1 : 0, rows);
  if (layer.bias) source.select(prefix + layer.name + ".bias", 0, rows);
}

void select_columns(Checkpoint& source, const std::string& prefix, const LinearSpec& layer,
                    const std::vector<int64_t>& columns) {
  const checkpoint::TensorRef stored = layer.weight_in(prefix);
  source.select(stored.name, stored.transposed ? 0 : 1, columns);
}

void select_channels(Checkpoint& source, const BlockSpec& block, const std::string& prefix,
                     const std::vector<int64_t>& kept) {
  for (const LinearSpec& layer : block.linears) {
    if (layer.expert >= 0) continue;
    switch (layer.role) {
      case Role::kGate:
      case Role::kUp:
      case Role::kFc1:
        select_rows(source, prefix, layer, kept);
        break;
      case Role::kGateUp: {
        std::vector<int64_t> rows = kept;
        append(rows, positions_of(kept, 1, block.ffn.width));
        select_rows(source, prefix, layer, rows);
        break;
      }
      case Role::kDown:
        select_columns(source, prefix, layer, kept);
        break;
      default:
        break;
    }
  }
}

/// Rows of the layer that makes queries, keys and values together.
std::vector<int64_t> rows_of_qkv(const AttentionSpec& attention, const std::vector<int64_t>& kept) {
  const int64_t queries = attention.queries_per_key() * attention.head_dim;
  if (attention.form == QkvForm::kGrouped) {
    return positions_of(kept, queries + 2 * attention.head_dim);
  }
  std::vector<int64_t> rows = positions_of(kept, queries);
  append(rows, positions_of(kept, attention.head_dim, attention.query_rows()));
  append(rows,
         positions_of(kept, attention.head_dim, attention.query_rows() + attention.key_rows()));
  return rows;
}

void select_heads_of_layer(Checkpoint& source, const AttentionSpec& attention,
                           const std::string& prefix, const LinearSpec& layer,
                           const std::vector<int64_t>& kept) {
  const int64_t queries = attention.queries_per_key() * attention.head_dim;
  const int64_t context = attention.queries_per_key() * attention.value_size();
  switch (layer.role) {
    case Role::kQuery: {
      const bool makes_gate = attention.output_gate == OutputGate::kInQuery;
      return select_rows(source, prefix, layer,
                         positions_of(kept, makes_gate ? 2 * queries : queries));
    }
    case Role::kKey:
      return select_rows(source, prefix, layer, positions_of(kept, attention.head_dim));
    case Role::kValue:
      return select_rows(source, prefix, layer, positions_of(kept, attention.value_size()));
    case Role::kQkv:
      return select_rows(source, prefix, layer, rows_of_qkv(attention, kept));
    case Role::kOutputGate:
      return select_rows(source, prefix, layer, positions_of(kept, context));
    case Role::kOut:
      return select_columns(source, prefix, layer, positions_of(kept, context));
    default:
      return;
  }
}

/// Norms of queries and keys, sinks and gates: what attention has for each head beside its layers.
void select_beside_layers(Checkpoint& source, const BlockSpec& block, const std::string& prefix,
                          const std::vector<int64_t>& kept) {
  const AttentionSpec& attention = block.attention;
  const int64_t queries = attention.queries_per_key();
  if (attention.sinks) source.select(prefix + block.names.sinks, 0, positions_of(kept, queries));
  if (attention.output_gate == OutputGate::kHeads) {
    source.select(prefix + block.names.head_gates, 0, positions_of(kept, queries));
  }
  if (attention.qk_norm != QkNorm::kFull && attention.qk_norm != QkNorm::kOwn) return;
  const int64_t of_head = attention.qk_norm == QkNorm::kFull ? attention.head_dim : 1;
  const auto select = [&](const std::string& norm, int64_t of_unit) {
    for (const char* const part : {".weight", ".bias"}) {
      if (!source.contains(prefix + norm + part)) continue;
      source.select(prefix + norm + part, 0, positions_of(kept, of_unit));
    }
  };
  select(block.names.query, queries * of_head);
  select(block.names.key, of_head);
}

/// Gives the blocks that stay new numbers. What lies beyond the last block (multi-token prediction) is gone.
void rename_blocks(Checkpoint& source, const ModelShape& shape, const std::vector<int64_t>& kept) {
  const std::string first = shape.block_prefix(0);
  const std::string before = first.substr(0, first.size() - 2);  // without "0."
  source.rename([&](const std::string& name) -> std::optional<std::string> {
    if (!name.starts_with(before)) return name;
    const size_t dot = name.find('.', before.size());
    const std::string number = name.substr(before.size(), dot - before.size());
    for (size_t i = 0; i < kept.size(); ++i) {
      if (number == std::to_string(kept[i])) {
        return shape.block_prefix(static_cast<int64_t>(i)) + name.substr(dot + 1);
      }
    }
    return std::nullopt;
  });
}

/// @param smaller  as config.json says it, with what reading the weights has shown of the whole model
ModelShape with_formats_of(const ModelShape& whole, ModelShape smaller) {
  smaller.weight_format = whole.weight_format;
  smaller.format_keys = whole.format_keys;
  smaller.stale_keys = whole.stale_keys;
  return smaller;
}

}  // namespace

ModelShape keep_units(Checkpoint& source, const ModelShape& shape, const KeptUnits& kept) {
  ModelShape smaller = shape;
  if (!kept.blocks.empty()) {
    rename_blocks(source, smaller, kept.blocks);
    smaller = with_blocks(smaller, kept.blocks);
  }
  if (!kept.experts.empty()) {
    keep_experts(source, smaller, kept.experts);
    smaller = with_experts(smaller, most_units(kept.experts));
  }
  const auto for_each_block = [&](const std::vector<std::vector<int64_t>>& units, auto&& select) {
    for (int64_t number = 0; number < smaller.config.blocks; ++number) {
      const std::vector<int64_t>& of_block = units.at(static_cast<size_t>(number));
      if (of_block.empty()) continue;
      select(smaller.block(number), smaller.block_prefix(number), of_block);
    }
  };
  if (!kept.channels.empty()) {
    for_each_block(kept.channels, [&](const BlockSpec& block, const std::string& prefix,
                                      const std::vector<int64_t>& channels) {
      select_channels(source, block, prefix, channels);
    });
    smaller = with_channels(smaller, most_units(kept.channels));
  }
  if (!kept.key_heads.empty()) {
    for_each_block(kept.key_heads, [&](const BlockSpec& block, const std::string& prefix,
                                       const std::vector<int64_t>& heads) {
      for (const LinearSpec& layer : block.linears) {
        select_heads_of_layer(source, block.attention, prefix, layer, heads);
      }
      select_beside_layers(source, block, prefix, heads);
    });
    smaller = with_key_heads(smaller, most_units(kept.key_heads));
  }
  for (const std::filesystem::path& file : kept.weights) source.replace(file);
  return with_formats_of(shape, std::move(smaller));
}

}  // namespace prune::models
