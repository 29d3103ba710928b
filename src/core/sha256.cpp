#include <fmt/format.h>
#include <openssl/evp.h>
#include <prune/core/error.h>
#include <prune/core/sha256.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

namespace prune {
namespace {

class Sha256 {
 public:
  Sha256() { check(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr)); }

  void add(std::span<const std::byte> bytes) {
    check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
  }

  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    check(EVP_DigestFinal_ex(context_.get(), digest.data(), &length));
    std::string text;
    for (unsigned int i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  static void check(int result) {
    if (result != 1) throw Error(ErrorKind::kInternal, "SHA-256 is not available in libcrypto");
  }

  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(),
                                                                   &EVP_MD_CTX_free};
};

}  // namespace

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 sum;
  sum.add(bytes);
  return sum.hex();
}

std::string sha256_hex(const Tensor& value) { return sha256_hex(std::vector<Tensor>{value}); }

std::string sha256_hex(const std::vector<Tensor>& values) {
  Sha256 sum;
  for (const Tensor& value : values) {
    TORCH_INTERNAL_ASSERT(value.is_contiguous() && value.is_cpu());
    sum.add({static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()});
  }
  return sum.hex();
}

std::string sha256_of_file(const std::filesystem::path& path) {
  // Read, not mapped: the pages of a mapping would count as memory of this process.
  constexpr size_t kPieceBytes = size_t{1} << 20;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: cannot open: {}", path.string(), strerror(errno)));
  }
  Sha256 sum;
  std::vector<char> piece(kPieceBytes);
  while (file) {
    file.read(piece.data(), kPieceBytes);
    sum.add(std::as_bytes(std::span(piece.data(), static_cast<size_t>(file.gcount()))));
  }
  if (file.bad()) {
    throw Error(ErrorKind::kInput, fmt::format("{}: cannot read", path.string()));
  }
  return sum.hex();
}

}  // namespace prune
