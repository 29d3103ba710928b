// The directory of a zip archive: every accepted record lies inside the archive.
#include "zip_directory.h"

#include "fuzz/fuzz.h"

using namespace prune;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz::survive([&] {
    const auto total = static_cast<int64_t>(size);
    for (const auto& [name, record] : checkpoint::read_zip_directory(fuzz::bytes_of(data, size))) {
      fuzz::require(record.offset >= 0 && record.offset <= total && record.size_bytes >= 0 &&
                        record.size_bytes <= total - record.offset,
                    "records lie in the archive");
    }
  });
}
