#include "unpickler.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <bit>
#include <string_view>
#include <unordered_map>

#include "byte_cursor.h"
#include "torch_globals.h"

namespace prune::checkpoint {
namespace {

// Names follow CPython's Lib/pickle.py.
enum class Opcode : uint8_t {
  kMark = '(',
  kStop = '.',
  kGlobal = 'c',
  kBinput = 'q',
  kLongBinput = 'r',
  kBinget = 'h',
  kLongBinget = 'j',
  kBinunicode = 'X',
  kBinint = 'J',
  kBinint1 = 'K',
  kBinint2 = 'M',
  kBinfloat = 'G',
  kBinpersid = 'Q',
  kTuple = 't',
  kEmptyTuple = ')',
  kEmptyDict = '}',
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kSetitem = 's',
  kSetitems = 'u',
  kReduce = 'R',
  kBuild = 'b',
  kNone = 'N',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewtrue = 0x88,
  kNewfalse = 0x89,
  kLong1 = 0x8a,
  kShortBinunicode = 0x8c,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

template <class... Arguments>
Error fault(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  return {ErrorKind::kInput, fmt::format(format, std::forward<Arguments>(arguments)...)};
}

/// The stack machine of the pickle format, reduced to what state dicts need.
class Unpickler {
 public:
  explicit Unpickler(std::span<const std::byte> pickle) : cursor_(pickle, "pickle") {}

  Unpickled run() {
    size_t position = 0;
    try {
      for (;;) {
        position = cursor_.position();
        const auto opcode = cursor_.read<Opcode_>();
        if (opcode == static_cast<Opcode_>(Opcode::kStop)) break;
        execute(static_cast<Opcode>(opcode));
      }
      const PickleId root = pop();
      return {.heap = std::move(heap_), .root = root};
    } catch (Error& e) {
      throw e.in(fmt::format("pickle, byte {}", position));
    }
  }

 private:
  using Opcode_ = std::underlying_type_t<Opcode>;

  void execute(Opcode opcode);
  void read_protocol();
  void read_global();
  void read_stack_global();
  void push_global(PickleGlobal global);
  void read_long1();
  void put_memo(uint32_t index);
  void push_memo(uint32_t index);
  void push_mark();
  void push_tuple(size_t count);
  void append(std::span<const PickleId> items);
  void set_items(std::span<const PickleId> items);
  void reduce();
  void build();

  void push(PickleValue value) { stack_.push_back(heap_.add(std::move(value))); }
  void push_text(uint64_t size) { push(std::string(cursor_.take_text(size))); }
  PickleId pop();
  PickleId top() const;
  std::vector<PickleId> pop_items(size_t count);
  std::vector<PickleId> pop_to_mark();

  ByteCursor cursor_;
  PickleHeap heap_;
  std::vector<PickleId> stack_;
  std::vector<size_t> marks_;
  // A map, not a vector: the pickle may choose any index.
  std::unordered_map<uint32_t, PickleId> memo_;
};

void Unpickler::execute(Opcode opcode) {
  switch (opcode) {
    case Opcode::kProto:
      return read_protocol();
    case Opcode::kFrame:
      return cursor_.skip(8);
    case Opcode::kStop:
      return;
    case Opcode::kMark:
      return push_mark();

    case Opcode::kNone:
      return push(PickleNone{});
    case Opcode::kNewtrue:
      return push(true);
    case Opcode::kNewfalse:
      return push(false);
    case Opcode::kBinint:
      return push(int64_t{cursor_.read<int32_t>()});
    case Opcode::kBinint1:
      return push(int64_t{cursor_.read<uint8_t>()});
    case Opcode::kBinint2:
      return push(int64_t{cursor_.read<uint16_t>()});
    case Opcode::kLong1:
      return read_long1();
    case Opcode::kBinfloat:
      // The format's only big-endian number.
      return push(std::bit_cast<double>(__builtin_bswap64(cursor_.read<uint64_t>())));
    case Opcode::kBinunicode:
      return push_text(cursor_.read<uint32_t>());
    case Opcode::kShortBinunicode:
      return push_text(cursor_.read<uint8_t>());

    case Opcode::kBinput:
      return put_memo(cursor_.read<uint8_t>());
    case Opcode::kLongBinput:
      return put_memo(cursor_.read<uint32_t>());
    case Opcode::kMemoize:
      return put_memo(static_cast<uint32_t>(memo_.size()));
    case Opcode::kBinget:
      return push_memo(cursor_.read<uint8_t>());
    case Opcode::kLongBinget:
      return push_memo(cursor_.read<uint32_t>());

    case Opcode::kEmptyTuple:
      return push(PickleTuple{});
    case Opcode::kTuple1:
      return push_tuple(1);
    case Opcode::kTuple2:
      return push_tuple(2);
    case Opcode::kTuple3:
      return push_tuple(3);
    case Opcode::kTuple:
      return push(PickleTuple{pop_to_mark()});
    case Opcode::kEmptyList:
      return push(PickleList{});
    case Opcode::kAppend:
      return append(pop_items(1));
    case Opcode::kAppends:
      return append(pop_to_mark());
    case Opcode::kEmptyDict:
      return push(PickleDict{});
    case Opcode::kSetitem:
      return set_items(pop_items(2));
    case Opcode::kSetitems:
      return set_items(pop_to_mark());

    case Opcode::kGlobal:
      return read_global();
    case Opcode::kStackGlobal:
      return read_stack_global();
    case Opcode::kBinpersid:
      return push(storage_of_persistent_id(heap_, pop()));
    case Opcode::kReduce:
      return reduce();
    case Opcode::kBuild:
      return build();
  }
  throw fault("opcode 0x{:02x} does not occur in a state dict", static_cast<Opcode_>(opcode));
}

void Unpickler::read_protocol() {
  const auto protocol = cursor_.read<uint8_t>();
  if (protocol < 2 || protocol > 4) throw fault("protocol {} is not 2, 3 or 4", protocol);
}

void Unpickler::read_long1() {
  const auto bytes = cursor_.take(cursor_.read<uint8_t>());
  // Sizes fit into 64 bits; a larger number can only belong to an entry that we skip.
  if (bytes.size() > sizeof(int64_t)) return push(PickleOpaque{});
  const bool negative = !bytes.empty() && (bytes.back() & std::byte{0x80}) != std::byte{0};
  int64_t number = negative ? -1 : 0;
  std::memcpy(&number, bytes.data(), bytes.size());
  push(number);
}

void Unpickler::read_global() {
  const auto line = [this] {
    std::string text;
    for (char c = cursor_.read<char>(); c != '\n'; c = cursor_.read<char>()) text += c;
    return text;
  };
  PickleGlobal global;
  global.module = line();
  global.name = line();
  push_global(std::move(global));
}

void Unpickler::read_stack_global() {
  const PickleId name = pop();
  const PickleId module = pop();
  push_global({.module = heap_.get<std::string>(module, "the module of a global"),
               .name = heap_.get<std::string>(name, "the name of a global")});
}

void Unpickler::push_global(PickleGlobal global) {
  check_global(global);
  push(std::move(global));
}

void Unpickler::put_memo(uint32_t index) {
  // A real pickler memoizes each value once. MEMOIZE is one byte; repeated for the same value it must not
  // consume memory without limit.
  if (memo_.size() > heap_.size()) throw fault("the memo has more entries than there are values");
  memo_[index] = top();
}

void Unpickler::push_memo(uint32_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end()) throw fault("the memo has no entry {}", index);
  stack_.push_back(found->second);
}

void Unpickler::push_mark() {
  constexpr size_t kMaxOpen = 1000;  // open marks; a state dict has about ten
  if (marks_.size() >= kMaxOpen) throw fault("nested deeper than {} levels", kMaxOpen);
  marks_.push_back(stack_.size());
}

void Unpickler::push_tuple(size_t count) { push(PickleTuple{pop_items(count)}); }

void Unpickler::append(std::span<const PickleId> items) {
  auto* list = std::get_if<PickleList>(&heap_.at(top()));
  if (list == nullptr) throw_wrong_kind("a list", heap_.at(top()));
  list->items.insert(list->items.end(), items.begin(), items.end());
}

void Unpickler::set_items(std::span<const PickleId> items) {
  auto* dict = std::get_if<PickleDict>(&heap_.at(top()));
  if (dict == nullptr) throw_wrong_kind("a dict", heap_.at(top()));
  if (items.size() % 2 != 0) throw fault("a dict entry has a key but no value");
  for (size_t i = 0; i < items.size(); i += 2) dict->items.emplace_back(items[i], items[i + 1]);
}

void Unpickler::reduce() {
  const PickleId arguments = pop();
  const PickleId callee = pop();
  push(call_global(heap_, heap_.get<PickleGlobal>(callee, "the callee"),
                   heap_.get<PickleTuple>(arguments, "the arguments of a call").items));
}

void Unpickler::build() {
  pop();
  // The attributes of a state dict's OrderedDict (`_metadata`: module versions) are ignored. No other
  // object has attributes.
  heap_.get<PickleDict>(top(), "the object that gets attributes");
}

PickleId Unpickler::pop() {
  const PickleId id = top();
  stack_.pop_back();
  return id;
}

/// Values below the last mark belong to an outer container and are out of reach.
PickleId Unpickler::top() const {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) throw fault("the stack is empty");
  return stack_.back();
}

std::vector<PickleId> Unpickler::pop_items(size_t count) {
  std::vector<PickleId> items(count);
  for (size_t i = count; i-- > 0;) items[i] = pop();
  return items;
}

std::vector<PickleId> Unpickler::pop_to_mark() {
  if (marks_.empty()) throw fault("no mark on the stack");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleId> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

}  // namespace

Unpickled unpickle(std::span<const std::byte> pickle) { return Unpickler(pickle).run(); }

}  // namespace prune::checkpoint
