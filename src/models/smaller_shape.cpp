#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/models/model_shape.h>

#include <algorithm>
#include <functional>

#include "shape_of.h"

// Smaller models by other numbers in config.json. Each result is read again and compared with what is wanted, so a
// family whose configuration cannot say it is refused.
namespace prune::models {
namespace {

json& text_of(json& raw) { return is_wrapper(raw) ? raw["text_config"] : raw; }

/// The model of an edited configuration, if it can be read and is as wanted.
std::optional<ModelShape> edited(const ModelShape& shape,
                                 const std::function<void(json& text)>& edit,
                                 const std::function<bool(const ModelShape&)>& is_wanted) {
  json raw = shape.raw;
  edit(text_of(raw));
  try {
    ModelShape result = shape_of(raw, names_of(shape));
    if (is_wanted(result)) return result;
  } catch (const Error&) {
    // Another key may say it.
  }
  return std::nullopt;
}

Error refusal(const ModelShape& shape, const char* flag, const std::string& why) {
  return {ErrorKind::kUsage,
          fmt::format("{}: model_type '{}': {}", flag, shape.config.model_type, why)};
}

/// True if the blocks are those of `before` after this change, but for their layers.
bool same_but(const ModelShape& before, const ModelShape& after,
              const std::function<void(BlockSpec& block)>& change) {
  if (before.config.blocks != after.config.blocks) return false;
  for (int64_t number = 0; number < before.config.blocks; ++number) {
    BlockSpec wanted = before.block(number);
    change(wanted);
    wanted.linears = after.block(number).linears;
    if (!(wanted == after.block(number))) return false;
  }
  return true;
}

/// How many units each block has that has some; 0 if none has. @param differ  the refusal if they have not as many
int64_t units_of_all(const ModelShape& shape, const std::function<int64_t(const BlockSpec&)>& count,
                     const Error& differ) {
  int64_t units = 0;
  for (const BlockSpec& kind : shape.kinds) {
    const int64_t of_kind = count(kind);
    if (of_kind > 0 && units > 0 && of_kind != units) throw differ;
    units = std::max(units, of_kind);
  }
  return units;
}

/// Why heads cannot be removed from attention; empty if they can.
std::string obstacle_to_fewer_heads(const AttentionSpec& attention) {
  if (attention.latent) return "its heads share latents";
  if (attention.alibi != Alibi::kNone) return "the slopes of ALiBi follow from the number of heads";
  if (attention.key_reuse != KeyReuse::kNone) return "blocks read the keys of other blocks";
  if (attention.qk_norm == QkNorm::kOwnParts) return "each head has norms of its own";
  return "";
}

// What config.json says block by block.
bool is_list_of_blocks(const std::string& key, const json& value, int64_t blocks) {
  const auto has = [&](const char* word) { return key.find(word) != std::string::npos; };
  return value.is_array() && std::ssize(value) >= blocks && !key.starts_with("mtp") &&
         (has("layer") || has("types") || has("pattern") || has("limits"));
}

bool is_list_of_numbers(const std::string& key) {
  return key == "full_attn_idxs" || key == "mlp_only_layers" || key == "moe_layers";
}

bool is_count_of_first_blocks(const std::string& key) {
  return key == "first_k_dense_replace" || key == "num_dense_layers" || key == "max_window_layers";
}

json kept_entry(const std::string& key, const json& value, const std::vector<int64_t>& kept,
                int64_t blocks) {
  json left = json::array();
  if (is_list_of_numbers(key) && value.is_array()) {
    for (size_t i = 0; i < kept.size(); ++i) {
      if (std::ranges::find(value, json(kept[i])) != value.end()) left.push_back(i);
    }
    return left;
  }
  if (is_count_of_first_blocks(key) && value.is_number_integer()) {
    return std::ranges::count_if(kept, [&](int64_t block) { return block < value.get<int64_t>(); });
  }
  if (is_list_of_blocks(key, value, blocks)) {
    for (const int64_t block : kept) left.push_back(value[static_cast<size_t>(block)]);
    return left;
  }
  if (key == "hybrid_override_pattern" && value.is_string()) {
    const auto letters = value.get<std::string>();
    std::string of_kept;
    for (const int64_t block : kept) of_kept += letters.at(static_cast<size_t>(block));
    return of_kept;
  }
  if ((key == "num_hidden_layers" || key == "n_layer") && value.is_number_integer()) {
    return std::ssize(kept);
  }
  return value;
}

// What Transformers calls a block, where no list says so.
const char* layer_type(const BlockSpec& block) {
  if (!block.has_attention()) return "linear_attention";
  return block.attention.window > 0 ? "sliding_attention" : "full_attention";
}

}  // namespace

int64_t most_units(const std::vector<std::vector<int64_t>>& units) {
  int64_t most = 0;
  for (const std::vector<int64_t>& of_block : units) most = std::max(most, std::ssize(of_block));
  return most;
}

ModelShape with_experts(const ModelShape& shape, int64_t experts) {
  json raw = shape.raw;
  for (const std::string& key : expert_counts_in(raw)) raw[json::json_pointer("/" + key)] = experts;
  return shape_of(raw, names_of(shape));
}

int64_t channels_of(const ModelShape& shape) {
  const auto width_of = [&](const BlockSpec& kind) {
    if (kind.moe) throw refusal(shape, "--ffn", "has experts; --experts removes whole ones");
    return kind.ffn.width;
  };
  const int64_t width =
      units_of_all(shape, width_of,
                   refusal(shape, "--ffn", "its blocks have feed-forwards of different widths"));
  if (width == 0) throw refusal(shape, "--ffn", "has no feed-forward");
  return width;
}

ModelShape with_channels(const ModelShape& shape, int64_t width) {
  channels_of(shape);
  for (const char* const key : {"intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size",
                                "block_ff_dim", "shared_intermediate_size"}) {
    const auto edit = [&](json& text) {
      text[key] = width;
      if (text.contains("block_auto_adjust_ff_dim")) text["block_auto_adjust_ff_dim"] = false;
    };
    const auto found = edited(shape, edit, [&](const ModelShape& result) {
      return same_but(shape, result, [&](BlockSpec& block) {
        if (block.ffn.width > 0) block.ffn.width = width;
      });
    });
    if (found) return *found;
  }
  throw refusal(shape, "--ffn", "its config.json cannot say how wide the feed-forward is");
}

int64_t key_heads_of(const ModelShape& shape) {
  const auto heads_of = [&](const BlockSpec& kind) -> int64_t {
    if (!kind.has_attention()) return 0;
    const std::string obstacle = obstacle_to_fewer_heads(kind.attention);
    if (!obstacle.empty()) throw refusal(shape, "--heads", obstacle);
    return kind.attention.kv_heads;
  };
  const int64_t heads = units_of_all(
      shape, heads_of, refusal(shape, "--heads", "its blocks have different numbers of heads"));
  if (heads == 0) throw refusal(shape, "--heads", "has no attention");
  return heads;
}

ModelShape with_key_heads(const ModelShape& shape, int64_t key_heads) {
  const int64_t before = key_heads_of(shape);
  const auto with_attention =
      std::ranges::find_if(shape.kinds, [](const BlockSpec& kind) { return kind.has_attention(); });
  const auto edit = [&](json& text) {
    for (const char* const key : {"num_attention_heads", "n_head"}) {
      if (text.contains(key)) text[key] = text[key].get<int64_t>() / before * key_heads;
    }
    for (const char* const key : {"num_key_value_heads", "num_kv_heads", "num_attention_groups"}) {
      if (value_or(text, key, json()).is_number()) text[key] = key_heads;
    }
    text["head_dim"] = with_attention->attention.head_dim;
  };
  const auto found = edited(shape, edit, [&](const ModelShape& result) {
    return same_but(shape, result, [&](BlockSpec& block) {
      if (!block.has_attention()) return;
      block.attention.heads = block.attention.queries_per_key() * key_heads;
      block.attention.kv_heads = key_heads;
    });
  });
  if (found) return *found;
  throw refusal(shape, "--heads",
                "its config.json cannot say how wide a head is, or how many there are");
}

ModelShape with_blocks(const ModelShape& shape, const std::vector<int64_t>& kept) {
  const auto indexers = value_or<std::vector<std::string>>(shape.raw, "indexer_types", {});
  if (!indexers.empty() && indexers.at(static_cast<size_t>(kept.front())) == "shared") {
    throw refusal(shape, "--blocks",
                  "the first block that stays would take its choice of keys from one that goes");
  }
  const auto is_wanted = [&](const ModelShape& result) {
    if (result.config.blocks != std::ssize(kept)) return false;
    for (int64_t number = 0; number < std::ssize(kept); ++number) {
      if (!(result.block(number) == shape.block(kept[static_cast<size_t>(number)]))) return false;
    }
    return true;
  };
  const auto edit = [&](json& text) {
    for (auto& [key, value] : text.items()) {
      value = kept_entry(key, value, kept, shape.config.blocks);
    }
  };
  if (const auto found = edited(shape, edit, is_wanted)) return *found;
  const auto with_types = [&](json& text) {
    edit(text);
    text["layer_types"] = json::array();
    for (const int64_t block : kept) text["layer_types"].push_back(layer_type(shape.block(block)));
  };
  if (const auto found = edited(shape, with_types, is_wanted)) return *found;
  const auto with_dense_blocks = [&](json& text) {
    edit(text);
    text["decoder_sparse_step"] = 1;
    text["mlp_only_layers"] = json::array();
    for (size_t i = 0; i < kept.size(); ++i) {
      if (shape.block(kept[i]).experts() == 0) text["mlp_only_layers"].push_back(i);
    }
  };
  if (shape.has_experts()) {
    if (const auto found = edited(shape, with_dense_blocks, is_wanted)) return *found;
  }
  throw refusal(shape, "--blocks", "its config.json cannot say which blocks stay");
}

}  // namespace prune::models
