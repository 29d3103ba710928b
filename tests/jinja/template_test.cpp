#include <fmt/format.h>
#include <prune/jinja/template.h>

#include <thread>
#include <vector>

#include "support.h"

namespace prune::jinja {
namespace {

using nlohmann::ordered_json;
using test::error_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string render(const std::string& source, const ordered_json& context = ordered_json::object(),
                   const Limits& limits = {}) {
  return Template("chat.jinja", source, limits).render(context, 0, limits);
}

std::string error_in(const std::string& source,
                     const ordered_json& context = ordered_json::object(),
                     const Limits& limits = {}) {
  return error_of(ErrorKind::kInput, [&] { render(source, context, limits); });
}

TEST(Template, IsMovable) {
  Template text("t", "a");
  text = Template("u", "b{{ x }}");
  EXPECT_EQ(text.render({{"x", 1}}, 0), "b1");
}

TEST(Template, RendersOnSeveralThreadsAtOnce) {
  const Template text("t",
                      "{% set ns = namespace(x='') %}{% for m in xs %}{% set ns.x = ns.x ~ 'é' ~ m "
                      "%}{% endfor %}{{ ns.x }}");
  ordered_json xs = ordered_json::array();
  for (int i = 0; i < 500; ++i) xs.push_back(i);
  const std::string want = text.render({{"xs", xs}}, 0);
  std::vector<std::string> got(4);
  std::vector<std::thread> threads;
  for (std::string& out : got) threads.emplace_back([&] { out = text.render({{"xs", xs}}, 0); });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& out : got) EXPECT_EQ(out, want);
}

TEST(Errors, NameTheTemplateTheLineAndTheConstruct) {
  EXPECT_THAT(error_in("a\nb\n{{ x|nosuch }}"),
              AllOf(StartsWith("chat.jinja:3: "), HasSubstr("filter 'nosuch' is not supported")));
  EXPECT_THAT(error_in("\n{{ x is nosuch }}"),
              AllOf(StartsWith("chat.jinja:2: "), HasSubstr("test 'nosuch' is not supported")));
  EXPECT_THAT(error_in("{% if true %}\n{{ 1|nosuch }}{% endif %}"),
              AllOf(StartsWith("chat.jinja:2: "), HasSubstr("filter 'nosuch' is not supported")));
  EXPECT_THAT(error_in("{% include 'x' %}"), HasSubstr("tag 'include' is not supported"));
  EXPECT_THAT(error_in("{% nosuch %}"), HasSubstr("tag 'nosuch' is not supported"));
  EXPECT_THAT(error_in("{% if x %}\n"), HasSubstr("expected 'elif'"));
  EXPECT_THAT(error_in("{% for x in y %}\n{{ z.a.b }}{% endfor %}", {{"y", {1}}}),
              AllOf(StartsWith("chat.jinja:2: "), HasSubstr("'z' is undefined")));
  EXPECT_THAT(error_in("{{ xs.append(1) }}", {{"xs", {1}}}), HasSubstr("the sandbox refuses"));
  EXPECT_THAT(error_in("{{ d.update({}) }}", {{"d", {{"a", 1}}}}),
              HasSubstr("the sandbox refuses"));
  EXPECT_THAT(error_in("{{ 'a'.encode('x') }}"), HasSubstr("not supported"));
  EXPECT_THAT(error_in("{{ x.y.z }}", {{"x", {{"a", 1}}}}), HasSubstr("no attribute or item 'y'"));
  EXPECT_THAT(error_in("{{ 1 + 'a' }}"), HasSubstr("'int' and 'str'"));
  EXPECT_THAT(error_in("{{ self.x }}"), HasSubstr("'self' is not supported"));
}

TEST(Errors, NameWhatIsNotSupported) {
  for (const char* expression : {"x|center",
                                 "x|striptags",
                                 "x|forceescape",
                                 "x is escaped",
                                 "x.casefold()",
                                 "x.encode()",
                                 "x.expandtabs()",
                                 "x.isascii()",
                                 "x.istitle()",
                                 "x.swapcase()",
                                 "x.format_map({})",
                                 "cycler('a')",
                                 "joiner()",
                                 "lipsum()",
                                 "1.real",
                                 "2.0.is_integer()",
                                 "'1F'|int(base=16)",
                                 "'1_000'|int",
                                 "1250|round(-2)",
                                 "'%e' % 1",
                                 "'%+d' % 1",
                                 "'%*d' % (1, 2)",
                                 "'%.3d' % 1",
                                 "'%(a)s' % {'a': 1}",
                                 "'%(a)s'|format(a=1)",
                                 "'{!r}'.format(1)",
                                 "'{0.x}'.format(1)",
                                 "'{0[x]}'.format({})",
                                 "'{:+}'.format(1)",
                                 "'{:x}'.format(1)",
                                 "'{:=5}'.format(1)",
                                 "'{:_}'.format(1)",
                                 "'{:06,}'.format(1)",
                                 "'{:.3}'.format(1.5)",
                                 "'\\101'",
                                 "'\\N{DASH}'",
                                 "'\\é'",
                                 "range(9)[1:]",
                                 "x[1, 2]"}) {
    EXPECT_THAT(error_in(fmt::format("{{{{ {} }}}}", expression), {{"x", "a"}}),
                AllOf(StartsWith("chat.jinja:1: "), HasSubstr("supported")))
        << expression;
  }
  for (const char* source :
       {"{% for x in [] recursive %}{% endfor %}", "{% print 1 %}", "{{ namespace() }}",
        "{% macro m() %}{% endmacro %}{{ m }}", "{% for x in [1] %}{{ loop }}{% endfor %}",
        "{% for x in [1] %}{{ loop.changed(x) }}{% endfor %}", "{{ {}|urlencode }}"}) {
    EXPECT_THAT(error_in(source), AllOf(StartsWith("chat.jinja:1: "), HasSubstr("not supported")));
  }
  for (const char* number : {"1_000", "0x1F", "0b1", "0o7", "xs[]"}) {
    EXPECT_THAT(error_in(fmt::format("{{{{ {} }}}}", number)), HasSubstr("expected")) << number;
  }
  EXPECT_THAT(error_in("{{ '{:{}}'.format(1, 2) }}"), HasSubstr("inside another one"));
}

TEST(Errors, RefuseToPrintWhatIsNoText) {
  EXPECT_THAT(error_in("{{ [1]|map('string') }}"), HasSubstr("printing a generator"));
  EXPECT_THAT(error_in("{{ 'a'.upper }}"), HasSubstr("printing a function"));
}

TEST(Errors, StayOnOneLine) {
  EXPECT_THAT(error_in("{{ '\\n\\x1b[0m' + 1 }}{{ x\n~ }}"), StartsWith("chat.jinja:"));
  EXPECT_THAT(error_in("{{ raise_exception('a\\nb') }}"), HasSubstr("a\\x0ab"));
}

TEST(Refusals, CarryTheWordsOfTheTemplate) {
  try {
    render("\n{{ raise_exception('No\\nsystem role') }}");
    FAIL() << "nothing was thrown";
  } catch (const Refusal& refusal) {
    EXPECT_EQ(refusal.reason(), "No\nsystem role");
    EXPECT_THAT(refusal.what(), AllOf(StartsWith("chat.jinja:2: "), HasSubstr("system role")));
    EXPECT_EQ(refusal.kind(), ErrorKind::kInput);
  }
}

TEST(Integers, BeyondSixtyFourBitsAreErrors) {
  EXPECT_EQ(render("{{ 9223372036854775807 }} {{ -9223372036854775807 - 1 }}"),
            "9223372036854775807 -9223372036854775808");
  for (const char* source :
       {"{{ 9223372036854775808 }}", "{{ 9223372036854775807 + 1 }}",
        "{{ -9223372036854775807 - 2 }}", "{{ 2 ** 63 }}", "{{ 3037000500 * 3037000500 }}",
        "{{ '9223372036854775808'|int }}", "{{ (-9223372036854775807 - 1)|abs }}",
        "{{ (-9223372036854775807 - 1) // -1 }}", "{{ -(-9223372036854775807 - 1) }}",
        "{{ 1e30|int }}"}) {
    EXPECT_THAT(error_in(source), HasSubstr("exceeds 64 bits")) << source;
  }
  EXPECT_EQ(render("{{ x }}", {{"x", uint64_t{9223372036854775807U}}}), "9223372036854775807");
  EXPECT_THAT(error_in("{{ x }}", {{"x", uint64_t{1} << 63}}), HasSubstr("exceeds 64 bits"));
}

TEST(Text, ThatIsNotUtf8) {
  EXPECT_THAT(error_in("a\n\xFF"), AllOf(StartsWith("chat.jinja:2: "), HasSubstr("not UTF-8")));
  EXPECT_EQ(render("{{ x }}{{ x|length }}", {{"x", "a\xFFz"}}), "a\xEF\xBF\xBDz3");
  EXPECT_EQ(render("{{ '\\ud800' }}"), "\xEF\xBF\xBD");
}

TEST(Context, MayLackWhatTheTemplateReads) {
  EXPECT_EQ(render("{{ x }}|{% for y in x %}{% endfor %}"), "|");
  EXPECT_EQ(render("a{{ x }}", ordered_json()), "a");
}

// Each of these asks for endless time, memory or stack.
class Hostile : public testing::TestWithParam<const char*> {};

TEST_P(Hostile, TemplateIsStopped) {
  const ordered_json context = {{"xs", {1, 2, 3}}};
  EXPECT_THAT(error_in(GetParam(), context),
              testing::AnyOf(HasSubstr("exceed"), HasSubstr("longer than")));
}

INSTANTIATE_TEST_SUITE_P(
    Templates, Hostile,
    testing::Values(
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 10**12 }}", "{{ [0] * 10**12 }}", "{{ 'é' * 9223372036854775807 }}",
        "{{ 'a'.center(10**12) }}", "{{ 'a'.ljust(10**12, 'é') }}", "{{ '1'.zfill(10**12) }}",
        "{{ '%1000000000d' % 1 }}", "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:9999999999999999999}'.format(1) }}", "{{ 'a'|indent(10**12, true) }}",
        "{{ '%01000000000d' % 1 }}", "{{ xs|tojson(indent=10**12) }}", "{{ range(10**15)|list }}",
        "{{ range(-9223372036854775807, 9223372036854775807) }}", "{{ [1]|batch(10**12, 0)|list }}",
        "{{ [1]|slice(10**12)|list }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% "
        "endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% "
        "endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% "
        "endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% "
        "endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% "
        "endfor %}{{ ns.x|tojson }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% "
        "endfor %}"
        "{% set y = namespace(x=[1]) %}{% for i in range(99) %}{% set y.x = [y.x, y.x] %}{% endfor "
        "%}{{ ns.x == y.x }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor "
        "%}",
        "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x]|reverse %}{% "
        "endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = {'a': ns.x}.items() "
        "%}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x].count %}{% "
        "endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{{ caller is none }}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
        "{% macro m(a=m()) %}{% endmacro %}{{ m() }}",
        "{% macro a() %}{{ xs|map('nosuch') }}{{ b() }}{% endmacro %}{% macro b() %}{% for x in xs "
        "%}{{ b() }}{% endfor %}{% endmacro %}{{ b() }}",
        "{% macro m() %}{% for i in range(99999) %}{% set a = i %}{{ m() }}{% endfor %}{% endmacro "
        "%}{{ m() }}",
        "{{ ('a' * 99999).replace('', 'b' * 99999) }}",
        "{{ ('b' * 99999)|replace('b', 'a' * 99999) }}", "{{ (['a' * 9999] * 99999)|join }}",
        "{{ ('a' * 99999).join('b' * 99999) }}",
        "{% set s = 'aé' * 99999 %}{% for i in range(99999) %}{% set x = s.upper() %}{% endfor %}",
        "{% set s = 'aé' * 99999 %}{% for i in range(99999) %}{% set x = s[99999] %}{% endfor %}",
        "{% set s = 'a' * 999999 %}{% for i in range(99999) %}{% set x = s.rfind('a' * 9999 ~ 'b') "
        "%}{% endfor %}",
        "{% set s = 'a' * 999999 %}{% for i in range(99999) %}{% set x = 'b' in s %}{% endfor %}",
        "{% set s = 'a' * 999999 %}{% for i in range(99999) %}{{ s }}{% endfor %}",
        "{% set s = 'a ' * 999999 %}{% for i in range(99999) %}{% set x = s.split() %}{% endfor %}",
        "{% for i in range(99999) %}{{ xs|sort }}{{ xs|tojson }}{{ range(9999)|sum }}{% endfor %}",
        "{% for i in range(99999) %}{{ 99999 in range(99999) }}{% endfor %}",
        "{% set ns = namespace(**dict(range(9998)|map('string')|batch(2))) %}{% for i in "
        "range(99999) %}"
        "{% for j in range(99) %}{{ ns.zz }}{% endfor %}{% endfor %}",
        "{% set k = 'a' * 9999999 %}{% set ns = namespace(x=[]) %}{% for i in range(99999) %}"
        "{% set ns.x = ns.x + [xs[k]] %}{% endfor %}",
        "{{ ('<' * 9999999)|escape|replace('x', 'y')|escape }}",
        "{{ ('é' * 9999999)|urlencode|urlencode|urlencode|urlencode|urlencode }}"));

TEST(Depth, OfTheSourceIsLimited) {
  const auto repeated = [](const std::string& part) {
    std::string text;
    for (int i = 0; i < 20'000; ++i) text += part;
    return text;
  };
  for (const std::string& source :
       {"{{ " + repeated("("), "{{ " + repeated("["), "{{ " + repeated("{1:"),
        "{{ " + repeated("-") + "1 }}", "{{ x" + repeated(".a") + " }}",
        "{{ x" + repeated("[0]") + " }}", "{{ 1" + repeated(" + 1") + " }}",
        "{{ 1" + repeated("()") + " }}", "{{ " + repeated("not ") + "1 }}",
        "{{ 1" + repeated("|abs") + " }}", "{{ 1" + repeated(" and 1") + " }}",
        "{{ 1" + repeated(" if 1 else 1") + " }}", "{{ 1" + repeated(" if 1") + " }}",
        repeated("{% if 1 %}"), repeated("{% for a in b %}"), repeated("{% filter upper %}"),
        "{% for " + repeated("(") + "x" + repeated(")") + " in x %}",
        "{% set " + repeated("(") + "x" + repeated(")") + " = 1 %}"}) {
    EXPECT_THAT(error_in(source), HasSubstr("exceed")) << source.substr(0, 40);
  }
}

TEST(Source, OfManyNamesAndBranchesRenders) {
  std::string source;
  for (int i = 0; i < 5000; ++i) {
    source +=
        "{{ a" + std::to_string(i) + " }}{% set b" + std::to_string(i) + "=1 %}{%if a%}{%endif%}";
  }
  EXPECT_EQ(render(source), "");
}

TEST(Depth, OfTheContextIsLimited) {
  ordered_json deep = 1;
  for (int i = 0; i < 10'000; ++i) deep = ordered_json::array({std::move(deep)});
  EXPECT_THAT(error_in("{{ x }}", {{"x", std::move(deep)}}),
              HasSubstr("exceeds the limit of depth"));
}

TEST(Bounds, AreThoseOfTheCaller) {
  EXPECT_THAT(error_in("{{ 1 }}{{ 2 }}{{ 3 }}", {}, {.steps = 3}), HasSubstr("limit of steps"));
  EXPECT_THAT(error_in("abcdef", {}, {.output_bytes = 5}), HasSubstr("limit of output"));
  EXPECT_EQ(render("abcde", {}, {.output_bytes = 5}), "abcde");
  EXPECT_THAT(error_in("{{ 'a' * 9999 }}", {}, {.memory_bytes = 9999}),
              HasSubstr("limit of memory"));
  EXPECT_THAT(error_in("abcdef", {}, {.source_bytes = 5}), HasSubstr("limit of 5 bytes"));
}

TEST(Bounds, LeaveRoomForALongConversation) {
  ordered_json messages = ordered_json::array();
  const std::string word = "Some words, a \"quote\" and ünïcode. ";
  for (int i = 0; i < 1000; ++i) {
    std::string content;
    for (int k = 0; k < 60; ++k) content += word;
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", content}});
  }
  const std::string text = render(
      "{% set ns = namespace(text='') %}{% for m in messages %}{% set ns.text = "
      "m.content|trim|replace('a', 'b') %}"
      "{{ m.role }}{{ ns.text }}{{ m|tojson }}{% for l in ns.text.split('. ') %}{{ l|upper }}{% "
      "endfor %}{% endfor %}",
      {{"messages", messages}});
  EXPECT_GT(text.size(), 6'000'000U);
}

TEST(Values, ThatHoldThemselvesAreReleased) {
  // The leak checker of the asan preset fails if they are not.
  EXPECT_EQ(
      render("{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.x = 1 %}{{ ns.me.me.x }}"),
      "1");
  EXPECT_EQ(
      render("{% set ns = namespace() %}{% macro m() %}{{ ns.x }}{% endmacro %}{% set ns.m = m %}"
             "{% set ns.x = 2 %}{{ ns.m() }}"),
      "2");
  EXPECT_THAT(
      error_in("{% macro m() %}{% macro k() %}{{ 1 }}{% endmacro %}{% set ns.k = k %}{% endmacro %}"
               "{% set ns = namespace() %}{{ m() }}{{ ns.k() }}"),
      HasSubstr("has ended"));
}

}  // namespace
}  // namespace prune::jinja
