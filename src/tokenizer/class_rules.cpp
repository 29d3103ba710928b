#include "class_rules.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "byte_level.h"
#include "tokenizer_config.h"

namespace prune::tokenizer {
namespace {

json byte_level(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"use_regex", use_regex}};
}

json sequence(const json& first, const json& second) {
  return {{"type", "Sequence"}, {"pretokenizers", {first, second}}};
}

json metaspace(const char* prepend_scheme) {
  return {{"type", "Metaspace"},
          {"replacement", "\xE2\x96\x81"},
          {"prepend_scheme", prepend_scheme},
          {"split", false}};
}

constexpr const char* kEndOfText = "<|endoftext|>";

ClassRules gpt2(const TokenizerConfig& config) {
  return {.normalizer = nullptr,
          .pre_tokenizer = byte_level(config.add_prefix_space.value_or(false), true),
          .model = {},
          .default_tokens = {
              {"bos_token", kEndOfText}, {"eos_token", kEndOfText}, {"unk_token", kEndOfText}}};
}

ClassRules gpt_neox(const TokenizerConfig& config) {
  ClassRules rules = gpt2(config);
  rules.normalizer = {{"type", "NFC"}};
  rules.default_tokens.emplace_back("pad_token", "<|padding|>");
  rules.own_post_processor = true;
  return rules;
}

ClassRules qwen(const TokenizerConfig& config, std::string_view pattern) {
  const json split = {
      {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
  return {
      .normalizer = {{"type", "NFC"}},
      .pre_tokenizer = sequence(split, byte_level(config.add_prefix_space.value_or(false), false)),
      .model = {},
      .default_tokens = {
          {"eos_token", kEndOfText}, {"unk_token", kEndOfText}, {"pad_token", kEndOfText}}};
}

ClassRules qwen2(const TokenizerConfig& config) {
  ClassRules rules = qwen(config, kQwen2Pattern);
  rules.plain_special_tokens = true;
  return rules;
}

ClassRules qwen3_5(const TokenizerConfig& config) { return qwen(config, kQwen35Pattern); }

ClassRules cohere(const TokenizerConfig& config) {
  return {.normalizer = {{"type", "NFC"}},
          .pre_tokenizer = sequence({{"type", "Digits"}, {"individual_digits", true}},
                                    byte_level(config.add_prefix_space.value_or(false), true)),
          .model = {},
          .default_tokens = {{"bos_token", "<BOS_TOKEN>"},
                             {"eos_token", "<|END_OF_TURN_TOKEN|>"},
                             {"unk_token", "<UNK>"},
                             {"sep_token", "<SEP>"},
                             {"pad_token", "<PAD>"},
                             {"cls_token", "<CLS>"},
                             {"mask_token", "<MASK_TOKEN>"}}};
}

BpeOptions with_byte_fallback() {
  BpeOptions options;
  options.fuse_unk = true;
  options.byte_fallback = true;
  return options;
}

ClassRules llama(const TokenizerConfig& config) {
  const char* scheme = "never";
  if (config.add_prefix_space.value_or(true)) scheme = config.legacy ? "always" : "first";
  return {.normalizer = nullptr,
          .pre_tokenizer = metaspace(scheme),
          .model = with_byte_fallback(),
          .default_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}}};
}

ClassRules code_llama(const TokenizerConfig& config) {
  ClassRules rules = llama(config);
  rules.pre_tokenizer = metaspace(config.add_prefix_space.value_or(true) ? "first" : "never");
  rules.model.unk_token = config.named_token("unk_token", "<unk>");
  for (const auto& [key, mark] :
       {std::pair("prefix_token", "PRE"), std::pair("middle_token", "MID"),
        std::pair("suffix_token", "SUF"), std::pair("eot_token", "EOT")}) {
    rules.default_tokens.emplace_back(key, std::string("\xE2\x96\x81<") + mark + ">");
  }
  rules.adds_bos = true;
  rules.own_post_processor = true;
  return rules;
}

ClassRules gemma(const TokenizerConfig& config) {
  ClassRules rules{.normalizer = {{"type", "Replace"},
                                  {"pattern", {{"String", " "}}},
                                  {"content", "\xE2\x96\x81"}},
                   .pre_tokenizer = {{"type", "Split"},
                                     {"pattern", {{"String", " "}}},
                                     {"behavior", "MergedWithPrevious"}},
                   .model = with_byte_fallback(),
                   .default_tokens = {{"bos_token", "<bos>"},
                                      {"eos_token", "<eos>"},
                                      {"unk_token", "<unk>"},
                                      {"pad_token", "<pad>"},
                                      {"mask_token", "<mask>"}}};
  rules.model.unk_token = config.named_token("unk_token", "<unk>");
  return rules;
}

using MakeRules = ClassRules (*)(const TokenizerConfig&);
const std::map<std::string, MakeRules>& all_rules() {
  static const std::map<std::string, MakeRules> kRules = {
      {"CodeGenTokenizer", gpt2},     {"CodeLlamaTokenizer", code_llama},
      {"CohereTokenizer", cohere},    {"GPT2Tokenizer", gpt2},
      {"GPTNeoXTokenizer", gpt_neox}, {"GemmaTokenizer", gemma},
      {"LlamaTokenizer", llama},      {"Qwen2Tokenizer", qwen2},
      {"Qwen3_5Tokenizer", qwen3_5}};
  return kRules;
}

/// The class that Transformers registers for a model type; an empty one is TokenizersBackend.
const std::map<std::string, std::string>& class_of_model_type() {
  static const std::map<std::string, std::string> kClasses = [] {
    std::map<std::string, std::string> classes;
    const std::pair<const char*, std::vector<const char*>> listed[] = {
        {"",
         {"arctic",
          "chatlm",
          "deepseek_v2",
          "deepseek_v3",
          "deepseek_v32",
          "deepseek_v4",
          "ernie4_5",
          "ernie4_5_moe",
          "flex_olmo",
          "glm",
          "glm4",
          "glm4_moe",
          "glm4_moe_lite",
          "gpt_bigcode",
          "granite",
          "granitemoe",
          "granitemoehybrid",
          "granitemoeshared",
          "hyperclovax",
          "internlm2",
          "jamba",
          "kimi_linear",
          "mimo_v2_flash",
          "minicpm3",
          "minimax_m2",
          "ministral",
          "ministral3",
          "mistral",
          "mistral3",
          "mixtral",
          "nemotron",
          "olmo2",
          "olmo3",
          "olmo_hybrid",
          "persimmon",
          "phi3",
          "phimoe",
          "stablelm",
          "step3p5"}},
        {"CodeLlamaTokenizer", {"code_llama"}},
        {"CohereTokenizer", {"cohere", "cohere2"}},
        {"GPT2Tokenizer",
         {"codegen", "dbrx", "emu3", "gpt2", "gpt_neo", "gptj", "jais2", "opt", "phi",
          "starcoder2"}},
        {"GPTNeoXTokenizer",
         {"falcon_mamba", "gpt_neox", "mamba", "mamba2", "mpt", "olmo", "olmoe", "rwkv", "xlstm"}},
        {"GemmaTokenizer",
         {"gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "recurrent_gemma",
          "zaya"}},
        {"Qwen2Tokenizer", {"qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next"}},
        {"Qwen3_5Tokenizer", {"qwen3_5", "qwen3_5_moe", "qwen3_5_text"}},
    };
    for (const auto& [name, model_types] : listed) {
      for (const char* model_type : model_types) classes[model_type] = name;
    }
    return classes;
  }();
  return kClasses;
}

/// True for a class whose own rules are not known here; encoders have most of them.
bool is_of_other_class(const std::string& named) {
  static const std::set<std::string_view> kOthers = {
      "Albert",   "Bart",       "Barthez",    "Bert",       "BigBird",    "Blenderbot",
      "CLIP",     "Camembert",  "Deberta",    "DebertaV2",  "Esmc",       "Funnel",
      "Herbert",  "LED",        "Lasr",       "LayoutLMv2", "LayoutLMv3", "LayoutXLM",
      "Luke",     "Lxmert",     "MBart",      "MBart50",    "MLuke",      "MPNet",
      "MarkupLM", "MobileBert", "Mvp",        "Nllb",       "Nougat",     "OpenAIGPT",
      "Pegasus",  "Reformer",   "RemBert",    "RoFormer",   "Roberta",    "SeamlessM4T",
      "Siglip2",  "Splinter",   "T5",         "Tipsv2",     "Udop",       "VideoPrism",
      "Whisper",  "XGLM",       "XLMRoberta", "XLNet"};
  std::string_view stem = named;
  if (!stem.ends_with("Tokenizer")) return false;
  stem.remove_suffix(std::string_view("Tokenizer").size());
  return kOthers.contains(stem);
}

}  // namespace

std::string class_of_folder(const std::string& named, const std::string& model_type,
                            bool has_auto_map) {
  const std::string known = all_rules().contains(named) || is_of_other_class(named) ? named : "";
  const auto registered = class_of_model_type().find(model_type);
  if (registered == class_of_model_type().end()) return known;
  if (named.empty()) return registered->second;
  if (has_auto_map) return known;
  // Transformers does not trust the class that folders of this type name.
  if (model_type == "qwen2") return registered->second;
  return registered->second.empty() ? "" : known;
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

std::optional<ClassRules> class_rules(const TokenizerConfig& config) {
  const auto found = all_rules().find(config.tokenizer_class);
  if (found == all_rules().end()) return std::nullopt;
  return found->second(config);
}

}  // namespace prune::tokenizer
