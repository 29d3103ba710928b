#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace prune::test {

/// Rules of the repository at `root`. Each returns its findings as "file:line: what is wrong".

/// Documents and headings that a comment or document cites have to be there: "src/core/README.md" and
/// `src/core/README.md, "Heading"`. A folder in capitals (DIR/quality.md) stands for any. Names of documents
/// outside the repository and the section sign are findings too.
std::vector<std::string> check_citations(const std::filesystem::path& root);

/// String literals of src and include say "is not a", not "is no".
std::vector<std::string> check_messages(const std::filesystem::path& root);

/// Sources do not reach into `detail` namespaces of other libraries, which change without notice, and do not call
/// at::parallel_for, which is a plain loop without -fopenmp (prune/core/parallel.h).
std::vector<std::string> check_libraries(const std::filesystem::path& root);

/// A room includes headers of itself and of its USES only, and USES has the order of src/CMakeLists.txt.
std::vector<std::string> check_uses(const std::filesystem::path& root);

}  // namespace prune::test
