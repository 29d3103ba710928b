#include "class_rules.h"

#include <map>
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
          .decoder = {{"type", "ByteLevel"}},
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
      .decoder = {{"type", "ByteLevel"}},
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
          .decoder = {{"type", "ByteLevel"}},
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
          .decoder = mark_decoder(true, config.add_prefix_space.value_or(true)),
          .model = with_byte_fallback(),
          .default_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}}};
}

ClassRules code_llama(const TokenizerConfig& config) {
  ClassRules rules = llama(config);
  rules.pre_tokenizer = metaspace(config.add_prefix_space.value_or(true) ? "first" : "never");
  rules.decoder = mark_decoder(true, true);
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
                   .decoder = mark_decoder(true, false),
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

}  // namespace

json mark_decoder(bool byte_fallback, bool strip) {
  json steps = json::array();
  steps.push_back(
      {{"type", "Replace"}, {"pattern", {{"String", "\xE2\x96\x81"}}}, {"content", " "}});
  if (byte_fallback) {
    steps.push_back({{"type", "ByteFallback"}});
    steps.push_back({{"type", "Fuse"}});
  }
  if (strip) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

bool has_class_rules(const std::string& name) { return all_rules().contains(name); }

std::optional<ClassRules> class_rules(const TokenizerConfig& config) {
  const auto found = all_rules().find(config.tokenizer_class);
  if (found == all_rules().end()) return std::nullopt;
  return found->second(config);
}

}  // namespace prune::tokenizer
