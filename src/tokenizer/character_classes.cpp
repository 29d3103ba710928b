#include "character_classes.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

namespace prune::tokenizer {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// Characters that have a class in utf8proc's tables but not yet in those of the `tokenizers` package. Printed
// by scripts/golden/newer_than_reference.py. The ranges also cover characters in between without the class.
constexpr Range kNewerMarks[] = {
    {0x5C8, 0x5C9},     {0x7FD, 0x7FD},     {0x897, 0x8D3},     {0x9FE, 0x9FE},
    {0xAFA, 0xAFF},     {0xB53, 0xB55},     {0xC04, 0xC3C},     {0xCF3, 0xD00},
    {0xD3B, 0xD3C},     {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0xECE, 0xECE},
    {0x1715, 0x1715},   {0x180F, 0x180F},   {0x1ABF, 0x1AF0},   {0x1CF7, 0x1CF7},
    {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0xA8FF, 0xA8FF},   {0x10D24, 0x10F85},
    {0x11070, 0x11074}, {0x110C2, 0x110C2}, {0x11145, 0x11146}, {0x111C9, 0x111C9},
    {0x111CE, 0x111CF}, {0x11241, 0x11241}, {0x1133B, 0x1133B}, {0x113B8, 0x113E2},
    {0x1145E, 0x1145E}, {0x1182C, 0x11B67}, {0x11D31, 0x1612F}, {0x16F4F, 0x16F4F},
    {0x16F7F, 0x16F87}, {0x16FE4, 0x16FF1}, {0x1CF00, 0x1D128}, {0x1D250, 0x1D281},
    {0x1E08F, 0x1E6F5}};
constexpr Range kNewerNonspacingMarks[] = {
    {0x5C8, 0x5C9},     {0x7FD, 0x7FD},     {0x897, 0x8E1},     {0x9FE, 0x9FE},
    {0xAFA, 0xAFF},     {0xB53, 0xB55},     {0xC04, 0xC3C},     {0xD00, 0xD00},
    {0xD3B, 0xD3C},     {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0xECE, 0xECE},
    {0x180F, 0x1886},   {0x1ABF, 0x1AF0},   {0x1DF6, 0x1DFB},   {0xA82C, 0xA82C},
    {0xA8C5, 0xA8C5},   {0xA8FF, 0xA8FF},   {0xA9BD, 0xA9BD},   {0x10D24, 0x10F85},
    {0x11070, 0x11074}, {0x110C2, 0x110C2}, {0x111C9, 0x111C9}, {0x111CF, 0x111CF},
    {0x1123E, 0x11241}, {0x1133B, 0x1133B}, {0x113BB, 0x1145E}, {0x1182F, 0x1612F},
    {0x16F4F, 0x16F4F}, {0x16FE4, 0x16FE4}, {0x1CF00, 0x1D128}, {0x1D25B, 0x1D25C},
    {0x1E000, 0x1E6F5}, {0x1E944, 0x1E94A}};
constexpr Range kNewerPunctuation[] = {{0x61D, 0x61D},     {0x9FD, 0xA76},     {0xC77, 0xC84},
                                       {0x1B4E, 0x1B4F},   {0x1B7D, 0x1B7F},   {0x2E43, 0x2E63},
                                       {0x10D6E, 0x10F89}, {0x113D4, 0x1145D}, {0x11660, 0x116B9},
                                       {0x1183B, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x16D6D, 0x16FE2},
                                       {0x1E5FF, 0x1E95F}};
constexpr Range kNewerControls[] = {{0x890, 0x8E2}, {0x110CD, 0x1343F}};

template <size_t count>
bool is_in(const Range (&ranges)[count], char32_t c) {
  const Range* range = std::ranges::lower_bound(ranges, c, {}, &Range::last);
  return range != std::end(ranges) && c >= range->first;
}

utf8proc_category_t category_of(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool is_of(char32_t c, utf8proc_category_t first, utf8proc_category_t last) {
  const utf8proc_category_t category = category_of(c);
  return category >= first && category <= last;
}

}  // namespace

bool is_word_character(char32_t c) {
  if (c < 0x80) return (c | 0x20) - U'a' < 26 || c - U'0' < 10 || c == U'_';
  constexpr Range kAlphabeticSymbols[] = {{0x200C, 0x200D},
                                          {0x24B6, 0x24E9},
                                          {0x1F130, 0x1F149},
                                          {0x1F150, 0x1F169},
                                          {0x1F170, 0x1F189}};
  return is_of(c, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_NL) ||
         category_of(c) == UTF8PROC_CATEGORY_PC || is_in(kAlphabeticSymbols, c);
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) return c == U'_' || (c > 0x20 && c < 0x7F && !is_word_character(c));
  constexpr char32_t kSymbolsThatWerePunctuation[] = {0x166D, 0x111C9};
  if (std::ranges::find(kSymbolsThatWerePunctuation, c) != std::end(kSymbolsThatWerePunctuation)) {
    return true;
  }
  return is_of(c, UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO) && !is_in(kNewerPunctuation, c);
}

bool is_mark(char32_t c) {
  constexpr Range kLettersThatWereMarks = {0x1CF2, 0x1CF3};
  if (c >= kLettersThatWereMarks.first && c <= kLettersThatWereMarks.last) return true;
  return is_of(c, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME) && !is_in(kNewerMarks, c);
}

bool is_nonspacing_mark(char32_t c) {
  constexpr char32_t kSpacingThatWereNot[] = {0x1734, 0x1171E};
  if (std::ranges::find(kSpacingThatWereNot, c) != std::end(kSpacingThatWereNot)) return true;
  return category_of(c) == UTF8PROC_CATEGORY_MN && !is_in(kNewerNonspacingMarks, c);
}

bool is_control(char32_t c) {
  if (c == U'\t' || c == U'\n' || c == U'\r') return false;
  const utf8proc_category_t category = category_of(c);
  const bool is_other = category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
                        category == UTF8PROC_CATEGORY_CO;
  return is_other && !is_in(kNewerControls, c);
}

}  // namespace prune::tokenizer
