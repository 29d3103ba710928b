#pragma once

#include <c10/util/Half.h>

#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "cli/program.h"

namespace prune::test {

/// A random model with two blocks whose tokens are the 96 printable characters: OPT (42 KB), or another one. A whole run
/// takes a fraction of a second. @param golden_case  of tests/golden/models, stored in safetensors
inline std::filesystem::path tiny_model(const TemporaryFolder& folder,
                                        const std::string& name = "tiny",
                                        const std::string& golden_case = "opt") {
  const std::filesystem::path golden_models = golden() / "models";
  const auto facts = nlohmann::json::parse(bytes(golden_models / "cases.json"));
  folder.write(name + "/config.json", facts.at("cases").at(golden_case).at("config").dump());
  std::filesystem::copy(golden_models / (golden_case + ".safetensors"),
                        folder.path() / name / "model.safetensors");
  nlohmann::json vocab = {{"Ġ", 0}, {"Ċ", 1}};  // space and line feed in byte-level BPE
  for (char c = '!'; c <= '~'; ++c) vocab[std::string(1, c)] = 2 + c - '!';
  const nlohmann::json tokenizer = {
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}}};
  folder.write(name + "/tokenizer.json", tokenizer.dump());
  return folder.path() / name;
}

/// Changes the elements of one tensor of a float16 checkpoint in its only shard, in a finished or a
/// partial folder.
inline void change_tensor(const std::filesystem::path& folder, const std::string& name,
                          const std::function<void(std::vector<c10::Half>&)>& change) {
  const std::filesystem::path file = folder / "model.safetensors";
  const std::string content = bytes(file);
  uint64_t length = 0;
  std::memcpy(&length, content.data(), sizeof(length));
  const auto offsets = nlohmann::json::parse(content.substr(8, length))
                           .at(name)
                           .at("data_offsets")
                           .get<std::array<size_t, 2>>();
  std::vector<c10::Half> elements((offsets[1] - offsets[0]) / sizeof(c10::Half));
  const size_t begin = 8 + length + offsets[0];
  std::memcpy(elements.data(), content.data() + begin, offsets[1] - offsets[0]);
  change(elements);
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(static_cast<std::streamoff>(begin));
  stream.write(reinterpret_cast<const char*>(elements.data()),
               static_cast<std::streamsize>(offsets[1] - offsets[0]));
}

/// 4000 lowercase letters and blanks that depend on `seed` only.
inline std::string tiny_text(unsigned seed = 1) {
  std::string text;
  for (unsigned state = seed; text.size() < 4000;) {
    state = state * 1664525U + 1013904223U;
    text += (state >> 28U) == 0 ? ' ' : static_cast<char>('a' + (state >> 24U) % 26);
  }
  return text;
}

}  // namespace prune::test
