#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/report/page.h>

#include "command_line.h"
#include "help.h"
#include "recipe.h"

namespace prune::cli {

int run_report_command(const Invocation& invocation) {
  CLI::App app("Shows the reports of runs side by side.", "prune report");
  set_help(app);
  app.option_defaults()->group("Reports");
  std::vector<std::string> files;
  std::string html;
  std::string csv;
  app.add_option("reports", files, "prune_report.json of runs, or their output folders")
      ->type_name(kReports);
  app.add_option("--html", html, "write one self-contained page to this file")->type_name(kFile);
  app.add_option("--csv", csv, "write a table of all layers to this file")->type_name(kFile);
  if (!parse_arguments(app, invocation)) return 0;
  if (files.empty()) throw Error(ErrorKind::kUsage, "no report is named");
  if (html.empty() && csv.empty()) throw Error(ErrorKind::kUsage, "--html or --csv is missing");
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
