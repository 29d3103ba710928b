// tokenize_tool FOLDER TEXTS IDS DECODED
//
// Encodes every text of TEXTS with the tokenizer of FOLDER and writes the ids to IDS, and to DECODED the text of the ids
// and that of the ids from last to first, where characters are broken. TEXTS and DECODED hold, for each text, its length
// in bytes as a little-endian uint32, then the bytes. IDS holds, for each text, the number of ids, then the ids, all as
// little-endian int64. Prints the CPU seconds of the encoding, which uses one thread; CPU time excludes other load on the
// machine.
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/tokenizer/tokenizer.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::vector<std::string_view> cut(std::string_view bytes) {
  std::vector<std::string_view> texts;
  while (bytes.size() >= sizeof(uint32_t)) {
    uint32_t size = 0;
    std::memcpy(&size, bytes.data(), sizeof(size));
    texts.push_back(bytes.substr(sizeof(size), size));
    bytes.remove_prefix(sizeof(size) + texts.back().size());
  }
  return texts;
}

void write_ids(const char* path, const std::vector<std::vector<int64_t>>& all) {
  std::ofstream stream(path, std::ios::binary);
  const auto write = [&](const int64_t* values, size_t count) {
    stream.write(reinterpret_cast<const char*>(values),
                 static_cast<std::streamsize>(count * sizeof(int64_t)));
  };
  for (const std::vector<int64_t>& ids : all) {
    const auto count = static_cast<int64_t>(ids.size());
    write(&count, 1);
    write(ids.data(), ids.size());
  }
}

void write_texts(const char* path, const std::vector<std::string>& texts) {
  std::ofstream stream(path, std::ios::binary);
  for (const std::string& text : texts) {
    const auto size = static_cast<uint32_t>(text.size());
    stream.write(reinterpret_cast<const char*>(&size), sizeof(size));
    stream.write(text.data(), size);
  }
}

int run(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: tokenize_tool FOLDER TEXTS IDS DECODED\n";
    return 2;
  }
  const std::string bytes = prune::read_file(argv[2]);
  const std::vector<std::string_view> texts = cut(bytes);
  const auto tokenizer = prune::tokenizer::load_tokenizer(argv[1]);
  std::vector<std::vector<int64_t>> all;
  const std::clock_t start = std::clock();
  for (const std::string_view text : texts) all.push_back(tokenizer->encode(text));
  const double elapsed_s = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  write_ids(argv[3], all);
  std::vector<std::string> decoded;
  for (std::vector<int64_t>& ids : all) {
    decoded.push_back(tokenizer->decode(ids, /*skip_special_tokens=*/false));
    std::ranges::reverse(ids);
    decoded.push_back(tokenizer->decode(ids, /*skip_special_tokens=*/false));
  }
  write_texts(argv[4], decoded);
  std::cout << elapsed_s << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "tokenize_tool: " << e.what() << "\n";
    return 3;
  }
}
