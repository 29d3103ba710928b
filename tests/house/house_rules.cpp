#include "house/house_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>

namespace prune::test {
namespace {

namespace fs = std::filesystem;
using Findings = std::vector<std::string>;

std::string read(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::string where(const fs::path& file, int64_t line) {
  return fmt::format("{}:{}: ", file.generic_string(), line);
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_path(char c) { return is_word(c) || c == '.' || c == '/' || c == '-'; }

bool is_source(const fs::path& file) {
  static const std::set<std::string> extensions = {".cpp", ".h", ".cu", ".cuh"};
  return extensions.contains(file.extension().string());
}

// Everything that people write: no data of the tests, nothing binary, and not this test, which has to name
// what it forbids. Paths are relative to `root`.
std::vector<fs::path> written_files(const fs::path& root) {
  static const std::set<std::string> data = {"golden",       "corpus", "dictionaries",
                                             "opt-books-6m", "house",  "__pycache__"};
  std::vector<fs::path> files;
  for (const char* name : {"CMakeLists.txt", "README.md"}) {
    if (fs::exists(root / name)) files.emplace_back(name);
  }
  for (const char* folder : {"src", "include", "tests", "scripts", ".ci"}) {
    if (!fs::exists(root / folder)) continue;
    for (auto entry = fs::recursive_directory_iterator(root / folder); entry != fs::end(entry);
         ++entry) {
      const fs::path path = entry->path().lexically_relative(root);
      if (entry->is_directory() && *path.begin() == "tests" && data.contains(path.filename())) {
        entry.disable_recursion_pending();
      }
      const bool is_text = path.extension() != ".txt" || path.filename() == "CMakeLists.txt";
      if (entry->is_regular_file() && is_text) files.push_back(path);
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The file as one line, so that a citation may run over two: without marks of comments, blanks made one.
struct Prose {
  std::string text;
  std::vector<int64_t> lines;  ///< of each character

  Prose(const fs::path& file, const std::string& content) {
    const bool has_marks = file.extension() != ".md";
    std::istringstream stream(content);
    std::string line;
    for (int64_t number = 1; std::getline(stream, line); ++number) {
      const size_t begin = line.find_first_not_of(has_marks ? " \t/#*" : " \t");
      if (begin == std::string::npos) continue;
      for (const char c : line.substr(begin) + " ") {
        const char written = c == '\t' || c == '\r' ? ' ' : c;
        if (written == ' ' && text.ends_with(' ')) continue;
        text.push_back(written);
        lines.push_back(number);
      }
    }
  }
};

bool has_heading(const std::string& document, const std::string& heading) {
  std::istringstream stream(document);
  for (std::string line; std::getline(stream, line);) {
    const size_t begin = line.find_first_not_of('#');
    if (begin == 0 || begin == std::string::npos || line[begin] != ' ') continue;
    if (line.substr(begin + 1) == heading) return true;
  }
  return false;
}

bool has_placeholder(const fs::path& path) {
  const fs::path folder = path.parent_path();
  return std::any_of(folder.begin(), folder.end(), [](const fs::path& part) {
    const std::string name = part.string();
    return std::all_of(name.begin(), name.end(),
                       [](char c) { return std::isupper(c) || c == '_'; });
  });
}

void check_paths(const fs::path& root, const fs::path& file, const Prose& prose,
                 Findings& findings) {
  const std::string& text = prose.text;
  for (size_t dot = text.find(".md"); dot != std::string::npos; dot = text.find(".md", dot + 1)) {
    const size_t end = dot + 3;
    if (end < text.size() && is_word(text[end])) continue;
    size_t begin = dot;
    while (begin > 0 && is_path(text[begin - 1])) --begin;
    const std::string path = text.substr(begin, end - begin);
    const bool by_heading = text.compare(end, 3, ", \"") == 0;
    const bool has_folder = path.find('/') != std::string::npos;
    // "${FOLDER}/README.md" of a script and web addresses are not paths from the root.
    const bool is_rest = path.starts_with('/') || (begin > 0 && text[begin - 1] == '$');
    if ((!has_folder && !by_heading) || is_rest || has_placeholder(path)) continue;
    const std::string start = where(file, prose.lines[begin]);
    if (!fs::is_regular_file(root / path)) {
      findings.push_back(start + "cites " + path + ", which does not exist");
    } else if (by_heading) {
      const size_t quote = text.find('"', end + 3);
      const std::string heading = text.substr(end + 3, quote - end - 3);
      if (!has_heading(read(root / path), heading)) {
        findings.push_back(
            start + fmt::format("cites {}, \"{}\", a heading it does not have", path, heading));
      }
    }
  }
}

void check_words(const fs::path& file, const Prose& prose, Findings& findings) {
  static const std::set<std::string> elsewhere = {"DESIGN",      "DESIGN2", "STYLE",    "FORMATS",
                                                  "ENGINEERING", "KERNELS", "FAMILIES", "CASES"};
  const std::string& text = prose.text;
  for (size_t begin = 0, end = 0; begin < text.size(); begin = std::max(end, begin + 1)) {
    for (end = begin; end < text.size() && is_word(text[end]);) ++end;
    const std::string word = text.substr(begin, end - begin);
    if (elsewhere.contains(word)) {
      findings.push_back(where(file, prose.lines[begin]) + "cites " + word +
                         ", which the repository does not hold");
    }
  }
  const std::string section = "\xC2\xA7";
  for (size_t at = text.find(section); at != std::string::npos; at = text.find(section, at + 1)) {
    findings.push_back(where(file, prose.lines[at]) + "has the section sign");
  }
}

struct Literal {
  std::string text;  ///< neighbours joined
  int64_t line;
};

// The string literals of C++; comments and characters are passed over.
std::vector<Literal> literals(const std::string& code) {
  std::vector<Literal> found;
  int64_t line = 1;
  bool joins = false;  // nothing but blanks and comments since the last literal
  size_t at = 0;
  const auto skip_to = [&](size_t end) {
    end = std::min(end, code.size());
    line += std::count(code.begin() + static_cast<int64_t>(at),
                       code.begin() + static_cast<int64_t>(end), '\n');
    at = end;
  };
  const auto add = [&](const std::string& text) {
    if (joins) {
      found.back().text += text;
    } else {
      found.push_back({text, line});
    }
    joins = true;
  };
  while (at < code.size()) {
    if (code.compare(at, 2, "//") == 0) {
      skip_to(code.find('\n', at));
    } else if (code.compare(at, 2, "/*") == 0) {
      skip_to(code.find("*/", at + 2));
      skip_to(at + 2);
    } else if (code.compare(at, 2, "R\"") == 0 && (at == 0 || !is_word(code[at - 1]))) {
      const size_t open = code.find('(', at);
      const std::string close = ")" + code.substr(at + 2, open - at - 2) + "\"";
      const size_t end = code.find(close, open);
      add(code.substr(open + 1, end - open - 1));
      skip_to(end);
      skip_to(at + close.size());
    } else if (code[at] == '"' || (code[at] == '\'' && (at == 0 || !is_word(code[at - 1])))) {
      size_t end = at + 1;
      while (end < code.size() && code[end] != code[at]) end += code[end] == '\\' ? 2 : 1;
      if (code[at] == '"') {
        add(code.substr(at + 1, end - at - 1));
      } else {
        joins = false;
      }
      skip_to(end + 1);
    } else {
      if (std::isspace(static_cast<unsigned char>(code[at])) == 0) joins = false;
      skip_to(at + 1);
    }
  }
  return found;
}

bool contains_words(const std::string& text, const std::string& words) {
  for (size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) {
    if (at == 0 || !is_word(text[at - 1])) return true;
  }
  return false;
}

// The words of the first call of `function` in a CMake file, without comments; each with its line.
std::vector<std::pair<std::string, int64_t>> arguments(const std::string& script,
                                                       const std::string& function) {
  std::vector<std::pair<std::string, int64_t>> words;
  std::istringstream stream(script);
  std::string line;
  bool inside = false;
  for (int64_t number = 1; std::getline(stream, line); ++number) {
    line = line.substr(0, line.find('#'));
    if (!inside && !line.starts_with(function + "(")) continue;
    if (!inside) line = line.substr(function.size() + 1);
    inside = true;
    const size_t close = line.find(')');
    std::istringstream on_line(line.substr(0, close));
    for (std::string word; on_line >> word;) words.emplace_back(word, number);
    if (close != std::string::npos) break;
  }
  return words;
}

// The rooms in the house's order.
std::vector<std::string> rooms_in_order(const fs::path& root) {
  std::vector<std::string> rooms;
  std::istringstream stream(read(root / "src/CMakeLists.txt"));
  const std::string start = "add_subdirectory(";
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with(start))
      rooms.push_back(line.substr(start.size(), line.find(')') - start.size()));
  }
  return rooms;
}

// What a room declares; findings about the declaration itself go to `findings`.
std::set<std::string> declared_uses(const fs::path& root, const std::string& room,
                                    const std::vector<std::string>& order, Findings& findings) {
  const fs::path file = fs::path("src") / room / "CMakeLists.txt";
  std::set<std::string> uses;
  bool in_uses = false;
  std::optional<int64_t> before;
  for (const auto& [word, line] : arguments(read(root / file), "prune_room")) {
    if (word == "USES" || word == "SOURCES" || word == "LINKS") {
      in_uses = word == "USES";
      continue;
    }
    if (!in_uses) continue;
    uses.insert(word);
    const int64_t place = std::find(order.begin(), order.end(), word) - order.begin();
    if (place == static_cast<int64_t>(order.size())) {
      findings.push_back(where(file, line) + "uses '" + word +
                         "', not a room of src/CMakeLists.txt");
    } else if (before && place <= *before) {
      findings.push_back(where(file, line) + "uses " + word + " after " + order[*before] +
                         "; src/CMakeLists.txt has it before");
    }
    before = place;
  }
  return uses;
}

void check_includes(const fs::path& root, const fs::path& folder, const std::string& room,
                    const std::set<std::string>& uses, Findings& findings) {
  if (!fs::exists(root / folder)) return;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    if (!entry.is_regular_file()) continue;
    std::istringstream stream(read(entry.path()));
    const std::string start = "#include <prune/";
    std::string line;
    for (int64_t number = 1; std::getline(stream, line); ++number) {
      if (!line.starts_with(start)) continue;
      const std::string used =
          line.substr(start.size(), line.find('/', start.size()) - start.size());
      if (used == room || uses.contains(used)) continue;
      findings.push_back(where(entry.path().lexically_relative(root), number) + "includes room " +
                         used + ", which src/" + room + "/CMakeLists.txt does not declare in USES");
    }
  }
}

}  // namespace

Findings check_citations(const fs::path& root) {
  Findings findings;
  for (const fs::path& file : written_files(root)) {
    const std::string content = read(root / file);
    if (content.find('\0') != std::string::npos) continue;
    const Prose prose(file, content);
    check_paths(root, file, prose, findings);
    check_words(file, prose, findings);
  }
  return findings;
}

Findings check_messages(const fs::path& root) {
  Findings findings;
  for (const fs::path& file : written_files(root)) {
    if (!is_source(file) || (*file.begin() != "src" && *file.begin() != "include")) continue;
    for (const Literal& literal : literals(read(root / file))) {
      for (const char* words : {"is no ", "are no "}) {
        if (!contains_words(literal.text, words)) continue;
        findings.push_back(where(file, literal.line) +
                           fmt::format("says '{}': \"{}\"", words, literal.text));
      }
    }
  }
  return findings;
}

Findings check_libraries(const fs::path& root) {
  static const std::regex kForbidden(
      R"(\b(nlohmann|at|c10|torch|c10d|fmt|spdlog|CLI|testing)::detail\b|\bat::parallel_for\()");
  Findings findings;
  for (const fs::path& file : written_files(root)) {
    if (!is_source(file)) continue;
    std::istringstream text(read(root / file));
    std::string line;
    for (int64_t number = 1; std::getline(text, line); ++number) {
      std::smatch match;
      if (!std::regex_search(line, match, kForbidden)) continue;
      findings.push_back(where(file, number) + "uses " + match.str());
    }
  }
  return findings;
}

Findings check_uses(const fs::path& root) {
  Findings findings;
  const std::vector<std::string> order = rooms_in_order(root);
  if (order.empty()) findings.push_back("src/CMakeLists.txt:1: no rooms found");
  for (const std::string& room : order) {
    const std::set<std::string> uses = declared_uses(root, room, order, findings);
    check_includes(root, fs::path("src") / room, room, uses, findings);
    check_includes(root, fs::path("include/prune") / room, room, uses, findings);
  }
  std::sort(findings.begin(), findings.end());
  return findings;
}

}  // namespace prune::test
