#include "tokenizer_class.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "class_rules.h"

namespace prune::tokenizer {
namespace {

/// Model types with the class that Transformers 5.17 registers for them; an empty name is TokenizersBackend.
struct Registered {
  std::string_view class_name;
  std::string_view model_types;  ///< with a space before and after each
};
constexpr Registered kRegistered[] = {
    {"",
     " arctic chatlm deepseek_v2 deepseek_v3 deepseek_v32 deepseek_v4 ernie4_5 ernie4_5_moe "
     "flex_olmo "
     "fuyu glm glm4 glm4_moe glm4_moe_lite got_ocr2 gpt_bigcode granite granitemoe "
     "granitemoehybrid "
     "granitemoeshared hyperclovax internlm2 jamba kimi_linear mimo_v2_flash minicpm3 minimax_m2 "
     "ministral ministral3 mistral mistral3 mixtral nemotron olmo2 olmo3 olmo_hybrid opencua "
     "persimmon "
     "phi3 phimoe stablelm step3p5 "},
    {"CodeLlamaTokenizer", " code_llama "},
    {"CohereTokenizer", " aya_vision cohere cohere2 "},
    {"GPT2Tokenizer", " codegen dbrx emu3 gpt2 gpt_neo gptj jais2 opt phi starcoder2 "},
    {"GPTNeoXTokenizer", " falcon_mamba gpt_neox mamba mamba2 mpt olmo olmoe rwkv xlstm "},
    {"GemmaTokenizer",
     " diffusion_gemma gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma "
     "shieldgemma2 t5gemma zaya "},
    {"LlamaTokenizer", " idefics idefics2 "},
    {"Qwen2Tokenizer",
     " qwen2 qwen2_5_omni qwen2_5_vl qwen2_audio qwen2_moe qwen2_vl qwen3 qwen3_moe qwen3_next "
     "qwen3_omni_moe qwen3_vl qwen3_vl_moe "},
    {"Qwen3_5Tokenizer", " qwen3_5 qwen3_5_moe qwen3_5_text qwen4_exp "},
};

/// Classes with rules that are not known here; encoders have most of them.
constexpr std::string_view kOtherClasses =
    " AlbertTokenizer BartTokenizer BarthezTokenizer BertTokenizer BigBirdTokenizer "
    "BlenderbotTokenizer CLIPTokenizer CamembertTokenizer DebertaTokenizer DebertaV2Tokenizer "
    "EsmcTokenizer FunnelTokenizer HerbertTokenizer LEDTokenizer LasrTokenizer LayoutLMv2Tokenizer "
    "LayoutLMv3Tokenizer LayoutXLMTokenizer LukeTokenizer LxmertTokenizer MBart50Tokenizer "
    "MBartTokenizer MLukeTokenizer MPNetTokenizer MarkupLMTokenizer MobileBertTokenizer "
    "MvpTokenizer "
    "NllbTokenizer NougatTokenizer OpenAIGPTTokenizer PegasusTokenizer ReformerTokenizer "
    "RemBertTokenizer RoFormerTokenizer RobertaTokenizer SeamlessM4TTokenizer Siglip2Tokenizer "
    "SplinterTokenizer T5Tokenizer Tipsv2Tokenizer UdopTokenizer VideoPrismTokenizer "
    "WhisperTokenizer XGLMTokenizer XLMRobertaTokenizer XLNetTokenizer ";

bool lists(std::string_view list, const std::string& word) {
  return list.find(" " + word + " ") != std::string_view::npos;
}

std::optional<std::string> registered_class(const std::string& model_type) {
  const Registered* row = std::ranges::find_if(
      kRegistered, [&](const Registered& r) { return lists(r.model_types, model_type); });
  if (row == std::end(kRegistered)) return std::nullopt;
  return std::string(row->class_name);
}

}  // namespace

std::string class_of_folder(const std::string& named, const std::string& model_type,
                            bool has_auto_map) {
  const std::string known = has_class_rules(named) || lists(kOtherClasses, named) ? named : "";
  const std::optional<std::string> registered = registered_class(model_type);
  if (!registered) return known;
  if (named.empty()) return *registered;
  if (has_auto_map) return known;
  // Transformers does not trust the class that folders of this type name.
  if (model_type == "qwen2") return *registered;
  return registered->empty() ? "" : known;
}

bool names_wrong_class(const std::filesystem::path& folder) {
  std::string path = "/" + folder.lexically_normal().generic_string() + "/";
  std::ranges::transform(path, path.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  constexpr std::pair<const char*, const char*> kRepositories[] = {
      {"deepseek-ai", "deepseek-r1-distill-llama-"},
      {"deepseek-ai", "deepseek-coder-"},
      {"stepfun-ai", "step-3.7-"}};
  return std::ranges::any_of(kRepositories, [&](const auto& repository) {
    const auto& [owner, name] = repository;
    return path.find(std::string("/") + owner + "/" + name) != std::string::npos ||
           path.find(std::string("/models--") + owner + "--" + name) != std::string::npos;
  });
}

}  // namespace prune::tokenizer
