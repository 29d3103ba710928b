#include "nccl_backend.h"

namespace prune::dist::detail {

c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>&, int, int,
                                            std::chrono::milliseconds) {
  return {};
}

}  // namespace prune::dist::detail
