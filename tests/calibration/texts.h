#pragma once

#include <prune/calibration/text_source.h>
#include <prune/chat/chat_template.h>
#include <zlib.h>
#include <zstd.h>

#include <string>
#include <vector>

#include "support.h"

namespace prune::calibration {

/// Reads a text without a model, hence without a chat template.
inline TextSource load_text(const TextFile& file) {
  return load_text(file, chat::TemplateChoice());
}

}  // namespace prune::calibration

namespace prune::test {

inline std::string error_of_load(const calibration::TextFile& file) {
  return error_of(ErrorKind::kInput, [&] { calibration::load_text(file); });
}

inline std::string error_of_load(const std::filesystem::path& path) {
  return error_of_load(calibration::TextFile{.name = path.string(), .path = path});
}

inline std::filesystem::path write_gzip(const TemporaryFolder& folder, const std::string& name,
                                        const std::string& content) {
  const std::filesystem::path path = folder.path() / name;
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, content.data(), static_cast<unsigned>(content.size()));
  gzclose(file);
  return path;
}

/// One zstd frame.
inline std::string zstd_frame(const std::string& content) {
  std::string packed(ZSTD_compressBound(content.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), content.data(), content.size(), 3));
  return packed;
}

}  // namespace prune::test
