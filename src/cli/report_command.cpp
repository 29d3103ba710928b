#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/report/page.h>

#include "command_line.h"
#include "help.h"
#include "recipe.h"

namespace prune::cli {

int run_report_command(const Invocation& invocation) {
  const auto app = make_parser("prune report", "Compares runs by their reports.");
  set_group(*app, "Reports");
  std::vector<std::string> files;
  std::string html;
  std::string csv;
  add_option(*app, "reports", files, "prune_report.json of runs, or their output folders",
             kReports);
  add_option(*app, "--html", html, "write one self-contained page to this file", kFile);
  add_option(*app, "--csv", csv, "write a table of all layers to this file", kFile);
  if (!parse_arguments(*app, invocation)) return 0;
  if (files.empty())
    throw Error(ErrorKind::kUsage,
                "no report is given: name prune_report.json files or output folders");
  if (html.empty() && csv.empty())
    throw Error(ErrorKind::kUsage, "--html or --csv is missing: give the file to write");
  std::vector<report::NamedReport> reports;
  for (const std::string& file : files) {
    std::filesystem::path path = file;
    if (std::filesystem::is_directory(path)) path /= "prune_report.json";
    reports.push_back({file, read_json(path)});
  }
  if (!html.empty()) write_file(html, report::html_page(reports));
  if (!csv.empty()) write_file(csv, report::csv_table(reports));
  return 0;
}

}  // namespace prune::cli
