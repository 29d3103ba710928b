#include <prune/core/kill_point.h>
#include <prune/dist/hessian_sum.h>

#include <algorithm>
#include <bit>

namespace prune::dist {

HessianSum::HessianSum(int64_t cols, at::Device device, const SampleSplit& split,
                       Communicator& comm)
    : cols_(cols),
      device_(device),
      split_(split),
      comm_(&comm),
      next_sample_(split.samples_of(comm.rank()).begin) {}

void HessianSum::add(const hessian::SampleRows& rows) {
  const int64_t chunk =
      parts_.empty() ? split_.chunks_of(comm_->rank()).begin : parts_.back().chunks.end - 1;
  if (parts_.empty()) {
    parts_.push_back({{chunk, chunk + 1}, hessian::HessianAccumulator(cols_, device_)});
  } else if (next_sample_ == split_.samples_of_chunk(chunk).end) {
    merge_finished_();
    parts_.push_back({{chunk + 1, chunk + 2}, hessian::HessianAccumulator(cols_, device_)});
  }
  hessian::HessianAccumulator& sum = parts_.back().sum;
  kill_point("before samples are added to a Hessian");
  sum.add(rows);
  next_sample_ += rows.samples;
  TORCH_INTERNAL_ASSERT(next_sample_ <= split_.samples_of_chunk(parts_.back().chunks.end - 1).end);
  const int64_t tokens = rows.x.size(0);
  comm_->counters().hessian_tokens += tokens;
  for (const Tensor& panel : sum.panels()) {
    comm_->counters().hessian_flops += 2 * static_cast<double>(tokens * panel.numel());
  }
}

// Like carries in a binary counter: two siblings of the tree merge as soon as both are complete, so a rank
// holds at most 1 + log2(chunks) sums.
void HessianSum::merge_finished_() {
  while (parts_.size() > 1) {
    Part& left = *(parts_.end() - 2);
    const int64_t chunks = parts_.back().chunks.size();
    if (left.chunks.size() != chunks || left.chunks.begin % (2 * chunks) != 0) return;
    left.sum.absorb_(std::move(parts_.back().sum));
    left.chunks.end += chunks;
    parts_.pop_back();
  }
}

void HessianSum::reduce_(int64_t owner) {
  kill_point("before a Hessian is summed over the ranks");
  const Range all = {0, split_.chunks()};
  if (comm_->size() == 1) {
    reduce_(all, owner);
    return;
  }
  std::vector<Tensor> sums;
  for (const Part& part : parts_) sums.push_back(part.sum.sample_sums());
  const Tensor sample_sums = comm_->gather(at::cat(sums));
  hessian::check_finite_samples(sample_sums);
  reduce_(all, owner);
  for (Part& part : parts_) part.sum.set_sample_sums(sample_sums);
}

std::vector<HessianSum::Part>::iterator HessianSum::part_from(int64_t chunk) {
  return std::ranges::find_if(parts_, [&](const Part& part) { return part.chunks.begin == chunk; });
}

// Sums the tree node of these chunks. Its left branch has the largest power of two below their number. Float
// addition commutes, so either side may receive the other: the owner's side does, so the root ends on it.
// @return the rank that holds the node's sum
int64_t HessianSum::reduce_(Range chunks, int64_t owner) {
  const int64_t rank = split_.rank_of(chunks.begin);
  const bool of_one_rank = rank == split_.rank_of(chunks.end - 1);
  if (of_one_rank && rank != comm_->rank()) return rank;
  if (const auto part = part_from(chunks.begin);
      part != parts_.end() && part->chunks.end == chunks.end) {
    return rank;
  }
  const auto half = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(chunks.size() - 1)));
  const int64_t middle = chunks.begin + half;
  const int64_t left = reduce_({chunks.begin, middle}, owner);
  const int64_t right = reduce_({middle, chunks.end}, owner);
  const int64_t to = right == owner ? right : left;
  if (left == right) {
    if (left != comm_->rank()) return to;
    part_from(chunks.begin)->sum.absorb_(std::move(part_from(middle)->sum));
    parts_.erase(part_from(middle));
  } else if (comm_->rank() == (to == left ? right : left)) {
    send_part_(to == left ? middle : chunks.begin, to);
    return to;
  } else if (comm_->rank() == to) {
    receive_part_(to == left ? chunks.begin : middle, to == left ? right : left);
    if (to == right) part_from(middle)->chunks.begin = chunks.begin;
  } else {
    return to;
  }
  part_from(chunks.begin)->chunks = chunks;
  return to;
}

void HessianSum::send_part_(int64_t chunk, int64_t to) {
  for (const Tensor& panel : part_from(chunk)->sum.panels()) {
    comm_->send(panel.contiguous(), to, Traffic::kHessians);
  }
  parts_.erase(part_from(chunk));
}

void HessianSum::receive_part_(int64_t chunk, int64_t from) {
  for (Tensor& panel : part_from(chunk)->sum.panels()) {
    Tensor other = at::empty(panel.sizes(), panel.options());
    comm_->recv_(other, from);
    panel.add_(other);
  }
}

Tensor HessianSum::finish() {
  TORCH_INTERNAL_ASSERT(parts_.size() == 1 && parts_.front().chunks.size() == split_.chunks());
  return parts_.front().sum.finish();
}

}  // namespace prune::dist
