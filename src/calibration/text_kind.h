#pragma once

#include <prune/core/error.h>

#include <filesystem>

namespace prune::calibration {

/// What a file's extension says about its content.
enum class TextKind { kUnknown, kText, kJsonLines, kJson, kParquet };

inline constexpr const char* kKnownKinds =
    ".txt, .raw or .md (one text), .jsonl or .json (rows with \"text\"), any of these with .gz or "
    ".zst, or .parquet";

/// The kind by extension, in capitals or not, without ".gz" and ".zst".
TextKind kind_of(std::filesystem::path path);

/// "is a folder", with the texts in it.
Error folder_error(const std::filesystem::path& folder);

}  // namespace prune::calibration
