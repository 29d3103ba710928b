// A configuration that a family does not compute is an error that names the key, never a wrong
// result.
#include <prune/models/model_shape.h>

#include "golden_model.h"

namespace prune::models {
namespace {

using test::error_of;
using test::GoldenModel;
using testing::HasSubstr;

struct Refusal {
  std::string model;  // golden case
  std::string changes;
  std::string message;
};

void PrintTo(const Refusal& refusal, std::ostream* out) {
  *out << refusal.model << " with " << refusal.changes;
}

class ConfigRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(ConfigRefusal, NamesWhatIsNotSupported) {
  const GoldenModel golden(GetParam().model, json::parse(GetParam().changes));
  const std::string message = error_of(ErrorKind::kInput, [&] { golden.open(); });
  EXPECT_THAT(message, HasSubstr(GetParam().message));
  EXPECT_THAT(message, HasSubstr(golden.path().string()));
}

INSTANTIATE_TEST_SUITE_P(
    AllFamilies, ConfigRefusal,
    testing::Values(
        Refusal{"llama", R"({"model_type": "gemma9"})",
                "model_type 'gemma9' is not supported; known ones: opt, bloom, llama, mistral"},
        Refusal{"llama", R"({"model_type": null})", "key 'model_type' is missing"},
        Refusal{"llama", R"({"quantization_config": {"quant_method": "awq"}})",
                "quantization_config: the checkpoint is quantized (quant_method 'awq'"},
        Refusal{"opt", R"({"quantization_config": {"bits": 4}})", "quant_method 'not given'"},
        Refusal{"opt", R"({"num_hidden_layers": 0})",
                "the number of blocks is 0; it must be positive"},
        Refusal{"opt", R"({"num_hidden_layers": 10001})", "'num_hidden_layers' is 10001; no model"},
        Refusal{"bloom", R"({"hidden_size": 9223372036854775807})",
                "'hidden_size' is 9223372036854775807; no model"},
        Refusal{"llama", R"({"head_dim": 16777218})", "'head_dim' is 16777218; no model"},
        Refusal{"llama", R"({"vocab_size": -9223372036854775808})", "'vocab_size' is -92233"},
        Refusal{"llama", R"({"hidden_size": 1e30})", "'hidden_size' has the wrong type: 1e+30"},
        Refusal{"llama", R"({"hidden_size": 18446744073709551615})",
                "'hidden_size' has the wrong type: 18446744073709551615"}));

INSTANTIATE_TEST_SUITE_P(
    Opt, ConfigRefusal,
    testing::Values(Refusal{"opt", R"({"activation_function": "quick_gelu"})",
                            "activation function 'quick_gelu' is not supported"},
                    Refusal{"opt", R"({"num_attention_heads": 5})",
                            "hidden_size 32 is not a multiple of num_attention_heads 5"},
                    Refusal{"opt", R"({"ffn_dim": "wide"})", "'ffn_dim' has the wrong type"},
                    Refusal{"opt", R"({"enable_bias": false})", "fc1.bias' does not belong"}));

INSTANTIATE_TEST_SUITE_P(
    Bloom, ConfigRefusal,
    testing::Values(Refusal{"bloom", R"({"n_head": 7})",
                            "hidden_size 36 is not a multiple of num_attention_heads 7"},
                    Refusal{"bloom", R"({"num_attention_heads": 4})",
                            "n_head 6 contradicts num_attention_heads 4"},
                    Refusal{"bloom", R"({"n_layer": null})", "'num_hidden_layers' is missing"}));

INSTANTIATE_TEST_SUITE_P(
    Rope, ConfigRefusal,
    testing::Values(
        Refusal{"llama", R"({"rope_scaling": {"type": "longrope", "short_factor": [1.0]}})",
                "key 'long_factor' is missing"},
        Refusal{
            "llama", R"({"rope_parameters": {"rope_type": "su"}})",
            "rope type 'su' is not supported; known ones: default dynamic linear llama3 longrope "
            "proportional yarn"},
        Refusal{"llama", R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})",
                "rope_parameters differ by layer type ('full_attention')"},
        Refusal{"llama", R"({"rope_scaling": "linear"})", "'rope_scaling' is not a JSON object"},
        Refusal{"llama", R"({"rope_scaling": {"type": "linear"}})", "key 'factor' is missing"},
        Refusal{"llama", R"({"rope_scaling": {"type": "llama3", "factor": 8.0}})",
                "key 'low_freq_factor' is missing"},
        Refusal{"llama", R"({"rope_scaling": {"type": "linear", "factor": 0.0}})", "not finite"},
        Refusal{"llama", R"({"rope_theta": -1.0})", "not finite"},
        Refusal{"llama", R"({"partial_rotary_factor": 0.5})",
                "partial_rotary_factor rotates 4 of 8 dimensions"},
        Refusal{"llama", R"({"rope_parameters": {"partial_rotary_factor": 0.25}})",
                "partial_rotary_factor rotates 2 of 8 dimensions"},
        Refusal{"llama", R"({"head_dim": 7})",
                "7 dimensions of a head cannot be rotated by pairs"}));

INSTANTIATE_TEST_SUITE_P(
    Llama, ConfigRefusal,
    testing::Values(
        Refusal{"llama", R"({"num_local_experts": 8})",
                "'num_local_experts' is set to 8, which is not supported"},
        Refusal{"llama", R"({"num_experts": 4})", "'num_experts' is set to 4"},
        Refusal{"llama", R"({"n_routed_experts": 64})", "'n_routed_experts' is set to 64"},
        Refusal{"llama", R"({"attn_logit_softcapping": 50.0})", "'attn_logit_softcapping'"},
        Refusal{"llama", R"({"final_logit_softcapping": 30.0})", "'final_logit_softcapping'"},
        Refusal{"qwen2", R"({"use_mrope": true})", "'use_mrope' is set to true"},
        Refusal{"llama", R"({"no_rope_layers": [1, 0]})", "'no_rope_layers' is set to [1,0]"},
        Refusal{"llama", R"({"hidden_act": "relu6"})", "activation function 'relu6'"},
        Refusal{"llama", R"({"num_attention_heads": 5})",
                "hidden_size 32 is not a multiple of num_attention_heads 5"},
        Refusal{"llama", R"({"num_attention_heads": 0})", "'num_attention_heads' must be positive"},
        Refusal{"llama", R"({"num_key_value_heads": 3})",
                "num_attention_heads 4 is not a multiple of num_key_value_heads 3"},
        Refusal{"llama", R"({"intermediate_size": null})", "'intermediate_size' is missing"},
        Refusal{"mistral", R"({"sliding_window": 0})", "'sliding_window' must be positive"},
        Refusal{"llama", R"({"layer_types": ["sliding_attention", "full_attention"]})",
                "calls layer 0 'sliding_attention', which is not supported for model_type 'llama'"},
        Refusal{"qwen3_layer_types", R"({"layer_types": ["full_attention", "linear_attention"]})",
                "calls layer 1 'linear_attention'"},
        Refusal{"qwen3_layer_types", R"({"use_sliding_window": false})",
                "calls layer 0 'sliding_attention'"},
        Refusal{"mistral_window", R"({"layer_types": ["sliding_attention", "full_attention"]})",
                "calls layer 1 'full_attention'"},
        Refusal{"qwen3_layer_types", R"({"layer_types": ["full_attention"]})",
                "'layer_types' has 1 entries for 2 layers"},
        // The weights show what the configuration omits.
        Refusal{"qwen2", R"({"model_type": "llama"})", "k_proj.bias' does not belong to the model"},
        Refusal{"qwen3", R"({"model_type": "llama"})",
                "k_norm.weight' does not belong to the model"},
        Refusal{"llama_biases", R"({"mlp_bias": false})", "down_proj.bias' does not belong"},
        Refusal{"llama", R"({"model_type": "qwen2"})", "q_proj.bias' is missing"}));

INSTANTIATE_TEST_SUITE_P(
    OtherFamilies, ConfigRefusal,
    testing::Values(
        Refusal{"gemma3_text", R"({"use_bidirectional_attention": true})",
                "'use_bidirectional_attention' is set to true, which is not supported"},
        Refusal{"gemma3", R"({"text_config": {"num_experts": 4}})", "'num_experts' is set to 4"},
        Refusal{"gemma3", R"({"text_config": null})", "'text_config' is missing"},
        Refusal{"gpt2", R"({"add_cross_attention": true})", "'add_cross_attention' is set to true"},
        Refusal{"glm", R"({"final_logit_softcapping": 30.0})", "'final_logit_softcapping'"},
        Refusal{"olmo2", R"({"no_rope_layers": [1, 0]})", "'no_rope_layers'"},
        Refusal{"cohere2", R"({"layer_types": ["full_attention", "x", "x", "x"]})",
                "calls layer 1 'x', which is not supported"},
        Refusal{"phi3", R"({"rope_parameters": {"short_factor": [1.0]}})",
                "longrope has 1 factors for 6 pairs of dimensions"},
        Refusal{"gptj", R"({"rotary_dim": 3})", "3 dimensions of a head cannot be rotated"},
        Refusal{"gpt2", R"({"n_head": 5})", "is not a multiple of num_attention_heads 5"},
        Refusal{"falcon", R"({"activation": "swiglu"})", "activation function 'swiglu'"},
        Refusal{"nemotron", R"({"mlp_bias": true})", "up_proj.bias' is missing"},
        Refusal{"arcee", R"({"hidden_size": -32})", "is -32; it must be positive"},
        Refusal{"gemma2", R"({"query_pre_attn_scalar": 0})", "is not finite"},
        Refusal{"gemma4_text", R"({"num_kv_shared_layers": 6})", "is 6 of 6 layers"},
        Refusal{"gemma4_text", R"({"num_kv_shared_layers": 5})",
                "is 5, so that no layer has keys for layer 1"},
        Refusal{"gemma4_text", R"({"vocab_size_per_layer_input": 95})",
                "is 95, less than vocab_size 96"},
        Refusal{"gemma4_text", R"({"per_layer_config": {"1": {"head_dim": 0}}})",
                "per_layer_config of layer 1: key 'head_dim' is 0; it must be positive"},
        Refusal{"gemma4_text", R"({"per_layer_config": {"5": {"head_dim": 8}}})",
                "gives layer 5 keys of another size than layer 3, whose keys it reads"},
        Refusal{"gemma4_text", R"({"use_bidirectional_attention": "all"})",
                "'use_bidirectional_attention' is set to \"all\""},
        Refusal{"gemma4_text_moe", R"({"num_experts": 0})", "the number of experts is 0"},
        Refusal{"granite", R"({"logits_scaling": 0})", "is not finite"},
        Refusal{"nemotron", R"({"rope_parameters": {"partial_rotary_factor": 1e300}})",
                "partial_rotary_factor 1e+300 is not above 0 and at most 1"},
        Refusal{"gpt2", R"({"n_embd": 131072, "n_head": 131072})",
                "no model has more than 65536"}));

INSTANTIATE_TEST_SUITE_P(
    Mixers, ConfigRefusal,
    testing::Values(
        Refusal{"qwen3_next", R"({"linear_num_value_heads": 3})",
                "is 3, no multiple of 2 key heads"},
        Refusal{"qwen3_next", R"({"linear_key_head_dim": 0})",
                "'linear_key_head_dim' is 0; it must be positive"},
        Refusal{"qwen3_next", R"({"full_attention_interval": 0})",
                "'full_attention_interval' must be positive"},
        Refusal{"qwen3_next", R"({"layer_types": ["linear_attention", "retention"]})",
                "calls layer 1 'retention', which is not supported"},
        Refusal{"lfm2", R"({"block_multiple_of": 0})",
                "'block_multiple_of' is 0; it must be positive"},
        Refusal{"granitemoehybrid", R"({"mamba_n_heads": 7})",
                "7 heads in 2 groups do not divide a width of 64"},
        Refusal{"nemotron_h", R"({"layers_block_type": null, "hybrid_override_pattern": null})",
                "'layers_block_type' is missing"},
        Refusal{"nemotron_h", R"({"layers_block_type": null, "hybrid_override_pattern": "MX"})",
                "calls layer 1 'X', which is not supported"},
        Refusal{"nemotron_h",
                R"({"layers_block_type": ["moe"], "n_routed_experts": 4, "moe_latent_size": 0})",
                "'moe_latent_size' is 0; it must be positive"},
        Refusal{"falcon_h1", R"({"mlp_multipliers": [1.0]})", "has 1 entries; it must have 2"}));

INSTANTIATE_TEST_SUITE_P(
    Newest, ConfigRefusal,
    testing::Values(
        Refusal{"glm_moe_dsa", R"({"index_topk": 0})", "'index_topk' is 0; it must be positive"},
        Refusal{"llama4_text", R"({"interleave_moe_layer_step": 0})",
                "'interleave_moe_layer_step' must be positive"},
        Refusal{"llama4_text", R"({"no_rope_layer_interval": 0})",
                "'no_rope_layer_interval' must be positive"},
        Refusal{"llama4_text", R"({"floor_scale": 0})", "'floor_scale' must be positive"},
        Refusal{"minimax_m3_vl", R"({"text_config": {"model_type": "minimax_m3_vl_text",
                "num_attention_heads": 4, "hidden_size": 32, "num_hidden_layers": 2,
                "vocab_size": 96, "intermediate_size": 48, "swiglu_alpha": 1.0}})",
                "'swiglu_alpha' is not 1.702"},
        Refusal{"afmoe", R"({"global_attn_every_n_layers": 0})",
                "'global_attn_every_n_layers' must be positive"},
        Refusal{"hunyuan_v1_moe", R"({"moe_topk": [1, 2]})",
                "'num_experts_per_tok' has the wrong type"}));

class ConfigAcceptance : public testing::TestWithParam<Refusal> {};

TEST_P(ConfigAcceptance, IgnoresWhatChangesNothing) {
  const GoldenModel golden(GetParam().model, json::parse(GetParam().changes));
  EXPECT_NO_THROW(golden.open());
}

INSTANTIATE_TEST_SUITE_P(
    Keys, ConfigAcceptance,
    testing::Values(Refusal{"llama", R"({"pretraining_tp": 2, "num_experts": 0})", ""},
                    Refusal{"llama", R"({"layer_types": ["full_attention", "full_attention"]})",
                            ""},
                    Refusal{"qwen2", R"({"use_mrope": false, "max_window_layers": 21})", ""},
                    Refusal{"exaone4", R"({"sliding_window_pattern": "LLLG"})", ""},
                    Refusal{"bloom", R"({"slow_but_exact": true, "pretraining_tp": 4})", ""},
                    Refusal{"bloom", R"({"offset_alibi": 100, "seq_length": 2048})", ""}));

TEST(Families, AreListed) {
  const std::vector<std::string> known = known_families();
  EXPECT_EQ(std::set<std::string>(known.begin(), known.end()).size(), known.size());
  EXPECT_THAT(known, testing::IsSupersetOf({"opt", "bloom", "llama", "gemma3", "mistral3"}));
}

TEST(Families, SayHowLongATextMayBe) {
  EXPECT_EQ(GoldenModel("opt").open().config().max_positions, 32);
  EXPECT_EQ(GoldenModel("bloom").open().config().max_positions, 0);
  EXPECT_EQ(GoldenModel("llama").open().config().max_positions, 64);
}

}  // namespace
}  // namespace prune::models
