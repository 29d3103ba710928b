#include "house/house_rules.h"
#include "support.h"

namespace prune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::filesystem::path repository() { return std::filesystem::path(PRUNE_TESTS_DIR).parent_path(); }

std::string lines(const std::vector<std::string>& findings) {
  std::string text;
  for (const std::string& finding : findings) text += "\n" + finding;
  return text;
}

TEST(Repository, CitesOnlyWhatItHolds) {
  const auto findings = test::check_citations(repository());
  EXPECT_TRUE(findings.empty()) << lines(findings);
}

TEST(Repository, MessagesDoNotSayIsNo) {
  const auto findings = test::check_messages(repository());
  EXPECT_TRUE(findings.empty()) << lines(findings);
}

TEST(Repository, CallsOnlyWhatLibrariesMeanForIt) {
  const auto findings = test::check_libraries(repository());
  EXPECT_TRUE(findings.empty()) << lines(findings);
}

TEST(Repository, RoomsUseWhatTheyDeclareInOrder) {
  const auto findings = test::check_uses(repository());
  EXPECT_TRUE(findings.empty()) << lines(findings);
}

TEST(HouseRules, FindDocumentsThatAreNotThere) {
  const test::TemporaryFolder root;
  root.write("src/core/README.md", "# core\n\n## Units\n\n### Long heading of two words\n");
  root.write("src/core/good.cpp",
             "// src/core/README.md, \"Units\"; src/core/README.md, \"Long heading\n"
             "// of two words\"; src/core/README.md; DIR/any.md; README.md; a.mdx; $DIR/a.md; "
             "${dir}/a.md; https://a.org/b.md\n");
  EXPECT_THAT(test::check_citations(root.path()), IsEmpty());

  root.write("src/core/bad.cpp", "int a;\n// src/core/GONE.md\n");
  root.write("include/prune/core/bad.h", "/// See src/core/README.md,\n/// \"Metres\".\n");
  root.write("scripts/bad", "#!/bin/sh\n# README.md, \"Results\"\n");
  EXPECT_THAT(
      test::check_citations(root.path()),
      ElementsAre("include/prune/core/bad.h:1: cites src/core/README.md, \"Metres\", a heading it "
                  "does not have",
                  "scripts/bad:2: cites README.md, which does not exist",
                  "src/core/bad.cpp:2: cites src/core/GONE.md, which does not exist"));
}

TEST(HouseRules, FindDocumentsOutsideTheRepository) {
  const test::TemporaryFolder root;
  root.write("src/core/good.cpp", "// a DESIGNER's style, formats\n");
  EXPECT_THAT(test::check_citations(root.path()), IsEmpty());

  root.write("CMakeLists.txt", "# as DESIGN says\n");
  root.write(".ci/run", "\n# (FORMATS.md)\n");
  root.write("src/core/bad.cu",
             "// arXiv 2301.00774 \xC2\xA7"
             "3\n");
  EXPECT_THAT(test::check_citations(root.path()),
              ElementsAre(StartsWith(".ci/run:2: cites FORMATS"),
                          StartsWith("CMakeLists.txt:1: cites DESIGN"),
                          "src/core/bad.cu:1: has the section sign"));
}

TEST(HouseRules, FindMessagesThatSayIsNo) {
  const test::TemporaryFolder root;
  root.write("src/core/good.cpp",
             "// is no \"quote\nconst char c = '\"';  /* \"is no \" */\n"
             "auto a = \"this no \\\" is\", b = \"no \";\n");
  EXPECT_THAT(test::check_messages(root.path()), IsEmpty());

  root.write("include/prune/core/bad.h", "\n\nf(\"{} is\"\n  \" no number\");\n");
  root.write("src/core/bad.cpp", "g(R\"(there are no \"files\")\");\n");
  EXPECT_THAT(test::check_messages(root.path()),
              ElementsAre(StartsWith("include/prune/core/bad.h:3: says 'is no '"),
                          StartsWith("src/core/bad.cpp:1: says 'are no '")));
}

TEST(HouseRules, FindCallsThatLibrariesDoNotMeanForUs) {
  const test::TemporaryFolder root;
  root.write("src/core/good.cpp", "namespace prune::detail {}\ndetail::f();\n");
  EXPECT_THAT(test::check_libraries(root.path()), IsEmpty());
  root.write("src/core/bad.cpp",
             "\nat::"
             "detail::getCUDAHooks();\nat::"
             "parallel_for(0, 1, 1, f);\n");
  EXPECT_THAT(test::check_libraries(root.path()), ElementsAre("src/core/bad.cpp:2: uses at::"
                                                              "detail",
                                                              "src/core/bad.cpp:3: uses at::"
                                                              "parallel_for("));
}

TEST(HouseRules, FindUsesThatAreNotDeclaredOrOutOfOrder) {
  const test::TemporaryFolder root;
  root.write("src/CMakeLists.txt",
             "add_subdirectory(core)\nadd_subdirectory(kernels)\nadd_subdirectory(cli)\n");
  root.write("src/core/CMakeLists.txt", "prune_room(core SOURCES a.cpp)\n");
  root.write("src/kernels/CMakeLists.txt", "prune_room(kernels SOURCES a.cpp USES core)\n");
  const auto cli = [&](const std::string& uses) {
    root.write("src/cli/CMakeLists.txt",
               "prune_room(cli\n  SOURCES a.cpp\n  USES " + uses + "\n  LINKS X::X)\n");
  };
  cli("core kernels");
  root.write("src/cli/a.cpp",
             "#include <prune/cli/a.h>\n#include <prune/core/a.h>\n#include <vector>\n");
  EXPECT_THAT(test::check_uses(root.path()), IsEmpty());

  root.write("include/prune/kernels/a.h", "\n#include <prune/cli/a.h>\n");
  cli("kernels core attic");
  EXPECT_THAT(
      test::check_uses(root.path()),
      ElementsAre(HasSubstr("includes room cli, which src/kernels/CMakeLists.txt does not declare"),
                  HasSubstr("src/cli/CMakeLists.txt:3: uses 'attic'"),
                  HasSubstr("src/cli/CMakeLists.txt:3: uses core after kernels")));
}

}  // namespace
}  // namespace prune
