#include <prune/jinja/template.h>

#include "support.h"

namespace prune::jinja {
namespace {

TEST(Template, IsMovable) {
  Template text("t", "a");
  text = Template("u", "b");
}

}  // namespace
}  // namespace prune::jinja
