#include "text_kind.h"

#include <fmt/format.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace prune::calibration {
namespace {

namespace fs = std::filesystem;

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

}  // namespace

TextKind kind_of(std::filesystem::path path) {
  static const std::map<std::string, TextKind> kKinds = {
      {".txt", TextKind::kText},  {".raw", TextKind::kText},
      {".md", TextKind::kText},   {".jsonl", TextKind::kJsonLines},
      {".json", TextKind::kJson}, {".parquet", TextKind::kParquet}};
  const std::string last = lower_extension(path);
  if (last == ".gz" || last == ".zst") path = path.stem();
  const auto found = kKinds.find(lower_extension(path));
  return found == kKinds.end() ? TextKind::kUnknown : found->second;
}

Error folder_error(const std::filesystem::path& folder) {
  constexpr size_t kShown = 5;
  std::set<std::string> texts;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    if (kind_of(entry.path()) != TextKind::kUnknown && !entry.is_directory(failure)) {
      texts.insert(entry.path().filename().string());
    }
  }
  std::string known;
  size_t shown = 0;
  for (const std::string& text : texts) {
    if (shown++ == kShown) break;
    known += (known.empty() ? "" : ", ") + printable(text);
  }
  if (texts.size() > kShown) known += fmt::format(" and {} more", texts.size() - kShown);
  return {ErrorKind::kInput,
          fmt::format("{}: is a folder, not a file; {}", folder.string(),
                      texts.empty() ? "it holds no text" : "name one of its texts: " + known)};
}

}  // namespace prune::calibration
