#include "zip_directory.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <optional>

#include "byte_cursor.h"

// Field names and layouts: PKWARE APPNOTE 6.3.10, sections 4.3.7 to 4.3.16 and 4.5.3.
namespace prune::checkpoint {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kDirectoryEntry = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kEnd64Locator = 0x07064b50;
constexpr size_t kEndBytes = 22;
constexpr size_t kEnd64LocatorBytes = 20;
constexpr uint16_t kExtra64 = 0x0001;
constexpr uint16_t kEncrypted = 0x0001;
/// A record holds one storage, and a tensor has one storage.
constexpr uint64_t kMaxEntries = uint64_t{1} << 20;
constexpr uint32_t kIn64 = 0xffffffff;  ///< the value is in a 64-bit field instead

template <class... Arguments>
Error fault(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  return {ErrorKind::kInput, fmt::format(format, std::forward<Arguments>(arguments)...)};
}

struct Directory {
  uint64_t entries = 0;
  uint64_t size_bytes = 0;
  uint64_t offset = 0;
};

/// A comment of up to 65535 bytes follows the end record, so we search backwards.
size_t find_end_record(std::span<const std::byte> archive) {
  if (archive.size() < kEndBytes) throw fault("has {} bytes: a truncated zip file", archive.size());
  const size_t last = archive.size() - kEndBytes;
  const size_t first = last - std::min<size_t>(last, 0xffff);
  for (size_t position = last + 1; position-- > first;) {
    ByteCursor cursor(archive, "zip end record", position);
    if (cursor.read<uint32_t>() == kEnd) return position;
  }
  throw fault("zip directory not found in {} bytes: truncated?", archive.size());
}

Directory read_end64(std::span<const std::byte> archive, uint64_t position) {
  ByteCursor cursor(archive, "zip64 end record", static_cast<size_t>(position));
  if (cursor.read<uint32_t>() != kEnd64) {
    throw fault("no zip64 end record at byte {}, where its locator points", position);
  }
  cursor.skip(8 + 2 + 2 + 4 + 4 + 8);  // record size, versions, disks, entries on this disk
  Directory directory;
  directory.entries = cursor.read<uint64_t>();
  directory.size_bytes = cursor.read<uint64_t>();
  directory.offset = cursor.read<uint64_t>();
  return directory;
}

std::optional<uint64_t> find_end64(std::span<const std::byte> archive, size_t end) {
  if (end < kEnd64LocatorBytes) return std::nullopt;
  ByteCursor cursor(archive, "zip64 locator", end - kEnd64LocatorBytes);
  if (cursor.read<uint32_t>() != kEnd64Locator) return std::nullopt;
  cursor.skip(4);  // disk
  return cursor.read<uint64_t>();
}

Directory find_directory(std::span<const std::byte> archive) {
  const size_t end = find_end_record(archive);
  if (const auto end64 = find_end64(archive, end)) return read_end64(archive, *end64);
  ByteCursor cursor(archive, "zip end record", end + 4);
  const auto disk = cursor.read<uint16_t>();
  const auto directory_disk = cursor.read<uint16_t>();
  if (disk != 0 || directory_disk != 0) throw fault("is one part of a multi-part zip file");
  cursor.skip(2);  // entries on this disk
  Directory directory;
  directory.entries = cursor.read<uint16_t>();
  directory.size_bytes = cursor.read<uint32_t>();
  directory.offset = cursor.read<uint32_t>();
  return directory;
}

struct Entry {
  uint16_t flags = 0;
  uint16_t method = 0;
  uint64_t compressed = 0;
  uint64_t size_bytes = 0;
  uint64_t local_header = 0;
};

/// The zip64 extra field contains only the values too large for 32 bits, in the sequence below.
void read_extra64(std::span<const std::byte> extra, Entry& entry) {
  ByteCursor fields(extra, "zip extra field");
  while (fields.left() >= 4) {
    const auto id = fields.read<uint16_t>();
    const auto size = fields.read<uint16_t>();
    ByteCursor field(fields.take(size), "zip64 extra field");
    if (id != kExtra64) continue;
    for (uint64_t* number : {&entry.size_bytes, &entry.compressed, &entry.local_header}) {
      if (*number == kIn64) *number = field.read<uint64_t>();
    }
    return;
  }
}

/// The data begins after the local header, whose extra field differs from the central directory's.
int64_t data_offset(std::span<const std::byte> archive, uint64_t local_header) {
  if (local_header > archive.size()) {
    throw fault("begins at byte {}, file has {}", local_header, archive.size());
  }
  ByteCursor cursor(archive, "zip local header", static_cast<size_t>(local_header));
  if (cursor.read<uint32_t>() != kLocalHeader)
    throw fault("no zip header at byte {}", local_header);
  cursor.skip(22);  // version, flags, method, time, date, checksum, sizes
  const auto name_length = cursor.read<uint16_t>();
  const auto extra_length = cursor.read<uint16_t>();
  cursor.skip(uint64_t{name_length} + extra_length);
  return static_cast<int64_t>(cursor.position());
}

ZipRecord locate(std::span<const std::byte> archive, const Entry& entry) {
  if (entry.method != 0 || entry.compressed != entry.size_bytes) {
    throw fault("is compressed (method {}); PyTorch stores records uncompressed", entry.method);
  }
  if ((entry.flags & kEncrypted) != 0) throw fault("is encrypted");
  const int64_t offset = data_offset(archive, entry.local_header);
  if (entry.size_bytes > archive.size() - static_cast<size_t>(offset)) {
    throw fault("takes {} bytes from byte {}, file has {}", entry.size_bytes, offset,
                archive.size());
  }
  return {.offset = offset, .size_bytes = static_cast<int64_t>(entry.size_bytes)};
}

void read_entry(std::span<const std::byte> archive, ByteCursor& cursor, ZipDirectory& records) {
  if (cursor.read<uint32_t>() != kDirectoryEntry) throw fault("zip directory is damaged");
  cursor.skip(4);  // versions
  Entry entry;
  entry.flags = cursor.read<uint16_t>();
  entry.method = cursor.read<uint16_t>();
  cursor.skip(8);  // time, date, checksum
  entry.compressed = cursor.read<uint32_t>();
  entry.size_bytes = cursor.read<uint32_t>();
  const auto name_length = cursor.read<uint16_t>();
  const auto extra_length = cursor.read<uint16_t>();
  const auto comment_length = cursor.read<uint16_t>();
  cursor.skip(2 + 2 + 4);  // disk, attributes
  entry.local_header = cursor.read<uint32_t>();
  const std::string name(cursor.take_text(name_length));
  const auto extra = cursor.take(extra_length);
  cursor.skip(comment_length);
  try {
    read_extra64(extra, entry);
    if (!records.emplace(name, locate(archive, entry)).second) throw fault("occurs twice");
  } catch (Error& e) {
    throw e.in(fmt::format("record '{}'", printable(name)));
  }
}

}  // namespace

ZipDirectory read_zip_directory(std::span<const std::byte> archive) {
  const Directory directory = find_directory(archive);
  if (directory.offset > archive.size() ||
      directory.size_bytes > archive.size() - directory.offset) {
    throw fault("zip directory of {} bytes at byte {}, file has {}", directory.size_bytes,
                directory.offset, archive.size());
  }
  ByteCursor cursor(archive.subspan(static_cast<size_t>(directory.offset),
                                    static_cast<size_t>(directory.size_bytes)),
                    "zip directory");
  if (directory.entries > kMaxEntries) {
    throw fault("zip directory claims {} records, the limit is {}", directory.entries, kMaxEntries);
  }
  ZipDirectory records;
  for (uint64_t i = 0; i < directory.entries; ++i) read_entry(archive, cursor, records);
  return records;
}

}  // namespace prune::checkpoint
