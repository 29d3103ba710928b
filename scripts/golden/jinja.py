#!/usr/bin/env python3
"""Records what Transformers renders for small templates and for whole chat templates.

    python3 scripts/golden/jinja.py

Needs transformers and jinja2. Every line of EXPRESSIONS is a template `{{ line }}`, every entry of TEMPLATES is one;
all are rendered with CONTEXT in the environment of Transformers' apply_chat_template. The chat templates are the
files tests/golden/jinja/*.jinja, rendered with the conversations of scripts/check_templates.py. Writes
tests/golden/jinja/cases.json: for each case the text, or the exception that was raised.
"""

import datetime
import json
import pathlib
import platform
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import jinja2  # noqa: E402
import transformers  # noqa: E402
from transformers.utils import chat_template_utils  # noqa: E402

import check_templates  # noqa: E402

GOLDEN = ROOT / "tests/golden/jinja"
CONTEXT = {
    "n": 7, "neg": -3, "zero": 0, "big": 9007199254740993, "f": 2.5, "half": 0.5, "tiny": 1e-07, "huge": 1e22,
    "t": True, "no": False, "nil": None, "s": "Hello World", "empty": "", "spaces": "  a  b\t\n", "u": "Ünï日本🙂ß",
    "quote": "it's \"so\"", "lines": "one\ntwo\n\nthree", "crlf": "a\r\nb\rc\x0bd\u2028e", "html": "<b>&\"'</b>",
    "xs": [3, 1, 2], "names": ["bob", "Alice", "carol", "alice"], "none": [], "mixed": [1, "a", None, True, 2.0, [1], {}],
    "nested": [[1, 2], [3, [4, 5]]], "d": {"b": 1, "a": 2, "C": 3}, "deep": {"x": {"y": [{"z": "found"}]}},
    "keys": {"items": 1, "keys": 2, "get": 3, "update": 4, "_x": 5, "name": 6, "0": 7}, "nothing": {},
    "users": [{"name": "Bob", "age": 30, "on": True}, {"name": "ann", "age": 25, "on": False},
              {"name": "Cid", "age": 30}, {"name": "dee", "age": None, "city": {"zip": [9, 8]}}],
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
                 {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Bye"}],
}

EXPRESSIONS = r"""
1
-1
+1
--1
1.0
1e3
1.5e-7
00
10000000000000000.0
123456789012345680.0
0.0001
0.00001
-0.0
1e16
1e22
1e400
5e-324
0.1 + 0.2
100.0
1e15
9223372036854775807
"a" "b" 'c'
"a\nb\t\\\"\'\x41\u00e9\q"
'\U0001F642'
"\
x"
true
True
false
False
none
None
n
missing
missing.x
missing['x']
missing()
missing + 1
1 + missing
missing ~ 'x'
-missing
missing == missing
missing == none
missing < 1
missing|length
missing[0:1]
missing is defined
missing in xs
1 in missing
not missing
missing or 'x'
missing and 'x'
[missing]
{'a': missing}
n + 1
n - 10
n * 3
n / 2
n // 2
neg // 2
n % 3
neg % 3
n % -3
n ** 2
2 ** -1
2 ** 0.5
-2 ** 2
2 ** 3 ** 2
2 ** 62
7.5 // 2
-7.5 // 2
7.5 % 2
-7.5 % 2
7 % 2.5
0.0 * -1
1 / 3
2 / 3
10 / 5
1 / 0
1 // 0
1 % 0
1.0 / 0
0 ** -1
t + t
t * 3
t + 0.5
-t
+t
f * 2
tiny
huge
s + '!'
s + 1
1 + s
s * 2
2 * 'ab'
'ab' * 0
'ab' * -1
'ab' * 1.5
xs + [4]
xs + (4,)
xs * 2
(1, 2) + (3,)
(1,) * 3
d + d
none + none
nil + 1
s - 1
[1] - [1]
'%s and %s' % (s, n)
'%s' % s
'%s' % xs
'%s' % (xs,)
'%d' % f
'%d' % 'x'
'%5d|%-5d|%05d|%-05d|%i|%3s|%-3s|%r' % (n, n, n, n, n, n, n, s)
'%f %.2f %8.1f|%-8.1f|%08.1f %.0f' % (f, f, f, f, -f, f)
'%x %4x %04x %x' % (255, 255, 255, -255)
'%%' % ()
'100%' % ()
'%s %s' % (1,)
'%s' % (1, 2)
'%(zz)s' % d
'%r %s' % ('a', 'a')
'%10.3s|' % 'abcdef'
'%-10s|' % 'abc'
'%y' % 1
'abc' % 1
'abc' % d
'abc' % xs
1 ~ 2
s ~ n ~ none ~ nil ~ f ~ t
xs ~ d
1 == 1.0
1 == true
0 == false
'1' == 1
[1, 2] == [1, 2]
[1] == (1,)
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
none == nil
1 != 2
1 < 2 < 3
1 < 2 > 3
3 > 2 >= 2 == 2
1 < 'a'
'a' < 'b'
'a' < 'B'
'é' > 'z'
[1, 2] < [1, 3]
[1] < [1, 2]
(1, 2) >= (1, 2)
[1] < (2,)
nil < 1
d < d
big < 9007199254740992.0
big == 9007199254740992.0
'a' in 'abc'
'' in 'abc'
1 in 'abc'
1 in xs
1 not in xs
1.0 in xs
'a' in d
'z' not in d
[1] in d
1 in n
1 in nil
[3, [4, 5]] in nested
'a' in d.keys()
1 in d.values()
('a', 2) in d.items()
2 in range(3)
not 1 in xs
not true and false
true or false and false
1 and 2
0 or 'x'
'' and 1
not not 1
1 if true else 2
1 if false else 2
1 if false
(1 if false) is defined
1 if false else 2 if false else 3
xs if xs else 'e'
1, 2
(1, 2)
(1,)
()
[]
[1, 2,]
{}
{'a': 1, 'b': [1, 2], 3: none, 1.5: true, none: 0, (1, 2): 'x'}
{1: 'a', true: 'b', 1.0: 'c'}
{[1]: 2}
{'a': 1}['a']
{'a': 1}.a
{'a': 1}.b
xs[0]
xs[-1]
xs[3]
xs[true]
xs[1.0]
xs['a']
xs.0
xs.5
nested[1][1][0]
nested.1.1.0
s[0]
s[-1]
s[99]
u[0]
u[5]
u[6]
u[-2]
xs[1:]
xs[:-1]
xs[::-1]
xs[::2]
xs[5:]
xs[-2:]
xs[2:0:-1]
xs[::0]
xs[none:none]
xs[:'a']
xs[-100:100:50]
s[1:4]
s[::-1]
s[::-2]
u[1:4]
u[::-1]
u[2:]
u[:-3]
u[5:2]
(1, 2, 3)[1:]
range(5)[3]
range(5)[-1]
d[:1]
n[:1]
nil[:1]
d['a']
d.a
d['zz']
d.zz
d.zz.y
d[1]
d[xs]
deep.x.y[0].z
deep['x']['y'][0]['z']
keys['items']
keys.items()
keys.items is callable
keys.keys()|list
keys['get']
keys.get('items')
keys.name
keys._x
keys['_x']
keys.update
keys['update']
keys.update is defined
keys.update({})
d.pop('a')
xs.append(1)
xs.append
xs['append'] is defined
xs.sort()
xs.index(2)
xs.index(9)
xs.count(1)
xs.copy()
xs.copy() is sameas xs
(1, 2, 1).count(1)
(1, 2).index(2)
nothing.x is defined
d.__class__
d.__class__ is defined
d.__class__.__mro__
s.__len__()
s._private
d.items()
d.keys()
d.values()
d.items()|list
d.items() is mapping
d.keys()|length
d.items()[0]
d.get('a')
d.get('zz')
d.get('zz', 9)
d.get('zz') is none
d.copy()
d.foo()
n()
s()
nil.x
nil.x.y
nil['x']
n.x
'inf'|float|string
s.upper()
s.lower()
s.title()
s.capitalize()
"hello wOrld foo's bar-baz 3rd".title()
"ÀÉ ñandú ΟΔΟΣ ΟΔΟΣ. ŉ".lower()
"straße ﬁ ŉ ǆ ΰ".upper()
"ǆ ß ﬁ x".title()
"ǆx ŒA".capitalize()
"İI".lower()
u.upper()
u.lower()
spaces.strip()
spaces.lstrip()
spaces.rstrip()
'xxaxbxx'.strip('x')
'abcab'.strip('ba')
'abcab'.lstrip('ba')
'abcab'.rstrip('ba')
'üaü'.strip('ü')
' a '.strip(none)
s.strip(1)
'a\u00a0\x1c '.strip() ~ '|'
s.split()
s.split('o')
s.split('o', 1)
s.rsplit('o', 1)
s.rsplit('o')
s.split('l', maxsplit=2)
s.split(sep='l')
'a,b,,c'.split(',')
' a  b c '.split()
' a  b c '.split(none, 1)
' a  b c '.rsplit(none, 1)
' a b '.split(' ')
''.split()
''.split(',')
'a'.split('')
'aXbXc'.split('X', 0)
'  a b'.split(none, 0)
s.split(1)
lines.splitlines()
lines.splitlines(true)
crlf.splitlines()
crlf.splitlines(keepends=true)
''.splitlines()
'\n'.splitlines()
s.startswith('He')
s.startswith(('x', 'He'))
s.startswith('World', 6)
s.startswith('l', 2, 4)
s.startswith(['a'])
s.startswith(1)
s.endswith('ld')
s.endswith(('x', 'ld'))
s.endswith('o', 0, 5)
''.startswith('')
s.replace('o', '0')
s.replace('o', '0', 1)
s.replace('', '-')
s.replace('', '-', 3)
u.replace('', '.')
s.replace('l', '')
s.replace('zz', 'y')
s.replace('o', 1)
s.find('o')
s.find('o', 5)
s.find('o', 5, 6)
s.find('zz')
s.find('')
u.find('日')
s.rfind('o')
s.rfind('zz')
s.rfind('o', 0, 5)
s.index('W')
s.index('zz')
s.rindex('o')
s.count('o')
s.count('')
'aaaa'.count('aa')
s.count('o', 5)
u.count('本')
', '.join(names)
''.join(['a', 1])
'-'.join('abc')
','.join(d)
','.join(none)
','.join([])
'{} {}'.format(1, 'a')
'{1} {0}'.format(1, 'a')
'{a} {b}'.format(a=1, b='x')
'{{}} {}'.format(1)
'{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd')
'{:5}|{:5}'.format('a', 1)
'{:05}|{:,}|{:,}|{:10,}|{:,}'.format(42, 1234567, 123, 12345, -1234)
'{:d} {:5d}|{:<5d}|{:^5d}|{:x>5}'.format(3, 3, 3, 3, 3)
'{:.2f} {:.0f} {:f} {:.1f}'.format(2.345, 2.5, 12345.678, 7)
'{:10.3f}|{:<10.2f}|{:010.2f}|{:>8}'.format(3.14159, 2.5, -2.5, 1.0)
'{:,.2f} {:,} {:,}'.format(1234567.891, 1234.5, 1e16)
'{:.3}'.format('abcdef')
'{:} {:} {:8}|'.format(3.14159, 1e20, 2.0)
'{:05d}|{:5}|{:é>5}'.format(-42, -42, 42)
'{:.3s}|{:5s}|{:>5.2}|'.format('abcdef', 'a', 'abc')
'{a:>5} {0:.1f} {a}'.format(2, a='x')
'{} {}'.format(1)
'{} {0}'.format(1)
'{a}'.format(1)
'{'.format(1)
'}'.format(1)
'{:d}'.format('a')
'{:s}'.format(1)
'{:.2}'.format(1)
'{:z}'.format(1)
'{}'.format(none)
'{:5}'.format(none)
'{:5}|{:d}'.format(true, true)
'{}'.format(xs)
'abc'.isalpha()
'abc1'.isalnum()
'12'.isdigit()
'²'.isdigit()
'½'.isnumeric()
'½'.isdigit()
'一'.isnumeric()
''.isdigit()
' \t\n'.isspace()
''.isspace()
'ABC'.isupper()
'AB1'.isupper()
'1'.isupper()
'abc'.islower()
'aBc'.islower()
'日本'.isalpha()
'É'.isupper()
s.removeprefix('Hello ')
s.removesuffix('World')
s.removeprefix('x')
'42'.zfill(5)
'-42'.zfill(5)
'+a'.zfill(4)
'abc'.zfill(2)
'a'.ljust(3) ~ '|'
'a'.rjust(3)
'a'.center(4) ~ '|'
'ab'.center(5) ~ '|'
'ab'.center(5, '*')
'abc'.center(6, '*')
'é'.ljust(3, 'ü')
'a'.ljust(3, 'xx')
s.partition(' ')
s.partition('x')
s.rpartition('o')
s.rpartition('x')
s.partition('')
s.nosuch()
s.nosuch
range(3)
range(1, 4)|list
range(5, 0, -2)|list
range(0)|list
range(3)|length
range(100001)
range(1, 2, 0)
range('a')
range(3) == range(0, 3)
range(10000000000000)
dict(a=1, b=2)
dict({'x': 1}, y=2)
dict([('a', 1), ('b', 2)])
dict(1)
namespace({'x': 1}, y=[2]).x
namespace(a=1).b
namespace(a=1)['a']
namespace(_a=1)._a
raise_exception('bad ' ~ n)
raise_exception()
strftime_now('%Y-%m-%d %H:%M:%S')
strftime_now('%d %b %Y | %A %B %j %p %I %y %e %-d %a %U %w %%')
strftime_now('%D %T %R %F %c %x %X %z%Z %f')
strftime_now('')
strftime_now('no directive')
strftime_now('%Y', 1)
lipsum is callable
loop
neg|abs
-3|abs
(-3)|abs
-3.5|abs
s|abs
-1|abs + 1
d|attr('keys') is callable
d|attr('a')
d|attr('a') is defined
range(7)|batch(3)|list
range(7)|batch(3, 'x')|list
none|batch(2)|list
'hello wORLD'|capitalize
n|capitalize
xs|count
n|count
nil|length
missing|default('x')
missing|default
missing|d('x')
nil|default('x')
nil|default('x', true)
empty|default('x', boolean=true)
zero|d(5, true)
missing.x|default('x')
nil.x|default('x')
d|dictsort
d|dictsort(true)
d|dictsort(by='value')
d|dictsort(reverse=true)
d|dictsort(false, 'value', true)
d|dictsort(by='x')
{'a': 1, 2: 3}|dictsort
xs|dictsort
html|e
html|escape
n|e
nil|e
missing|e
html|e ~ '<'
html|escape|escape
(html|e) + '<'
'<' + (html|e)
(html|safe) + '<' + (1|e)
['<'|e]
((html|safe)|upper)[1:] + '<'
(' <a> '|safe).strip() * 2 + '<'
('a b'|safe).split()[0] + '<'
('a'|safe)|indent|truncate + '<'
html|safe|string + '<'
(html|safe)|tojson + '<'
'<' ~ (html|safe) + '>'
(html|e).upper()
xs|first
none|first
none|first is defined
s|first
d|first
n|first
xs|last
s|last
none|last
d|last
d.values()|last
range(3)|last
xs|map('string')|last
'3.7'|float
'x'|float
'x'|float(1.5)
' 1e3 '|float
'inf'|float
'-nan'|float
nil|float
n|float
missing|float
'1e400'|float
'%s-%d'|format('a', 3)
'%s'|format(1, a=2)
'%s'|format
users|groupby('age')|length
users[:3]|groupby('age')
users[:3]|groupby('age')|map(attribute='grouper')|list
users|groupby('city.zip.0', default=0)|map('first')|list
['B', 'a', 'b', 'A']|groupby(0)|list
names|groupby('0')|list
['B', 'a', 'b']|groupby(0, case_sensitive=true)
lines|indent
lines|indent(2)
lines|indent(2, true)
lines|indent(first=true, blank=true)
lines|indent('> ')
lines|indent(width=1)
''|indent
'a\n'|indent
n|indent
missing|indent
crlf|indent(1)
'3.7'|int
'42'|int
' 42 '|int
'0x1F'|int
'x'|int
'x'|int(-1)
f|int
-2.7|int
(-2.7)|int
nil|int
xs|int(5)
t|int
'1e3'|int
'inf'|int
missing|int
d|items|list
missing|items|list
xs|items|list
xs|join
xs|join(', ')
users|join(', ', attribute='name')
users|join(', ', 'age')
s|join('-')
mixed|join('|')
d|join
nil|join
n|join
missing|join('x')
[1, missing, 2]|join('-')
xs|join(1)
xs|length
s|length
u|length
d|length
range(9)|length
s|list
d|list
xs|list
d.items()|list|length
nil|list
'HeLLo'|lower
n|lower
xs|map('string')|list
names|map('upper')|list
names|map('replace', 'a', 'b')|list
users|map(attribute='name')|list
users|map(attribute='city.zip.1')|list
users|map(attribute='nope', default='x')|list
users|map(attribute='age', default=0)|list
xs|map|list
xs|map('nosuch')|list
xs|map(nope=1)|list
none|map('nosuch')|list
missing|map('upper')|list
nested|map('sum')|list
nested|map('first')|list
xs|map('string')|join
xs|map('string')|length
xs|map('string') is iterable
xs|map('string') is sequence
xs|map('string')[0] is defined
nested|map(attribute=0)|list
xs|max
xs|min
none|max
names|max
names|min
names|min(case_sensitive=true)
users|max(attribute='name')
users|min('x', 'name')
mixed|max
users|reject('mapping')|list
xs|reject('odd')|list
xs|select('odd')|list
xs|select|list
mixed|select|list
mixed|select('string')|list
mixed|select('none')|list
xs|select('gt', 1)|list
xs|select('divisibleby', 3)|list
xs|select('in', [1, 2])|list
xs|select('nosuch')|list
xs|select('==', 2)|list
users|selectattr('on')|map(attribute='name')|list
users|selectattr('age', 'equalto', 30)|map(attribute='name')|list
users|selectattr('age', 'none')|list|length
users|selectattr('city.zip')|map(attribute='name')|list
users|rejectattr('on')|map(attribute='name')|list
users|rejectattr('age', 'eq', 30)|map(attribute='name')|list
users|selectattr|list
users|selectattr('name', 'in', 'Bob Cid')|list|length
messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|list
messages|rejectattr('role', '==', 'system')|list|length
messages|selectattr('role', 'ne', 'user')|first
s|replace('o', '0')
s|replace('o', '0', 1)
s|replace('l', n)
n|replace(7, 8)
s|replace('o')
html|e|replace('&', '+')
xs|reverse|list
s|reverse
u|reverse
d|reverse|list
d.items()|reverse|list
n|reverse
xs|reverse|length
xs|map('string')|reverse
f|round
2.567|round(2)
2.5|round
3.5|round
0.5|round
-2.5|round
(-2.5)|round
2.675|round(2)
n|round
42.55|round(1, 'floor')
42.51|round(1, 'ceil')
42|round(1, 'ceil')
-1.5|round(0, 'floor')
f|round(1, 'x')
s|round
1e300|round(5)
huge|round
f|round|int
html|safe
range(7)|slice(3)|list
range(7)|slice(3, 'x')|list
range(2)|slice(3)|list
range(2)|slice(0)|list
xs|sort
xs|sort(reverse=true)
names|sort
names|sort(case_sensitive=true)
users|sort(attribute='name')|map(attribute='name')|list
users[:3]|sort(attribute='age,name')|map(attribute='name')|list
users[:3]|sort(attribute='age', reverse=true)|map(attribute='name')|list
users|sort(attribute='age')
mixed|sort
d|sort
s|sort|join
[[2], [1]]|sort
[true, 0, 2.5]|sort
n|string
xs|string
nil|string
missing|string
xs|sum
[]|sum
[]|sum(start=5)
[0.5, 1]|sum
users[:3]|sum(attribute='age')
names|sum
nested|sum(start=[])
xs|sum('x')
"hello world-foo (bar) o'neil"|title
'HELLO [x] {y} <z>'|title
n|title
d|tojson
mixed|tojson
nested|tojson
u|tojson
html|tojson
quote|tojson
"\x00\x1f\x7f\u2028"|tojson
huge|tojson
tiny|tojson
1e16|tojson
1.0|tojson
big|tojson
'nan'|float|tojson
'-inf'|float|tojson
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
{(1, 2): 3}|tojson
(1, 2)|tojson
missing|tojson
[missing]|tojson
d.items()|tojson
xs|map('string')|tojson
d|tojson(indent=2)
{'a': [], 'b': {}, 'c': [1, {'d': 2}]}|tojson(indent=2)
nested|tojson(indent=4)
d|tojson(indent='--')
d|tojson(indent=0)
d|tojson(separators=(',', ':'))
d|tojson(indent=1, separators=(', ', ' = '))
d|tojson(sort_keys=true)
{'b': {'z': 1, 'y': 2}, 'a': 0}|tojson(sort_keys=true)
{1: 0, 'a': 0}|tojson(sort_keys=true)
u|tojson(ensure_ascii=true)
"\x7f\u2028é"|tojson(true)
d|tojson(false, 2)
d|tojson(nope=1)
(d|tojson) + '<'
spaces|trim
'xxaxx'|trim('x')
n|trim
nil|trim
missing|trim
'hello big world'|truncate(9)
'hello big world'|truncate(9, true)
'hello big world'|truncate(9, false, '..')
'hello big world'|truncate(12)
'hello big world'|truncate(12, leeway=0)
'hello big world'|truncate(2)
u|truncate(4, true, '', 0)
names|unique|list
[1, 1.0, true, 'a', 'A']|unique|list
names|unique(true)|list
users[:3]|unique(attribute='age')|map(attribute='name')|list
nested|unique|list
'hello'|upper
n|upper
'a b/c?d=é&'|urlencode
n|urlencode
'one two, three-four don\'t é_1'|wordcount
n|nosuch
n|upper.lower
1|string|length
s|upper|lower|title
n is defined
n is not defined
missing is undefined
nil is none
none is none
n is none
t is boolean
n is boolean
t is true
1 is true
no is false
n is integer
t is integer
f is float
n is float
n is number
t is number
s is number
s is string
n is string
d is mapping
xs is mapping
xs is iterable
n is iterable
nil is iterable
missing is iterable
xs is sequence
d is sequence
s is sequence
n is sequence
missing is sequence
range(1) is sequence
d.keys() is sequence
d.keys() is iterable
namespace() is iterable
namespace() is mapping
range is callable
n is callable
missing is callable
s.upper is callable
nil is sameas none
nil is sameas(none)
xs is sameas xs
xs is sameas [3, 1, 2]
1 is sameas true
n is eq 7
n is equalto(7)
n is == 7
n is ne 7
n is lt 8
n is lessthan 8
n is le 7
n is gt 6
n is greaterthan 7
n is ge 7
n is in [7, 8]
n is in xs
n is not in xs
n is odd
n is even
f is odd
s is odd
n is divisibleby 7
n is divisibleby(3)
n is divisibleby 0
'abc' is lower
'ABC' is upper
n is upper
n is nosuch
n is odd and n is not even
n is odd or false
n is odd is even
not n is odd
n is defined and n > 3
n + 1 is odd
'a' ~ n is string
n is not none and n
s is string() 
xs|length > 2
xs|length + 1
1 + xs|length
-xs|length
xs|first|string + 'a'
-f|round
not xs|length == 3
s.split()[0].lower()[1:3]|upper
(s|upper)[0]
[1, 2][0]
'a'.upper()
{'a': {'b': 1}}.a.b
(1 if n else 2) + 1
xs[n - 7]
xs[:n]
d['a' if t else 'b']
[n, [n], {'k': (n,)}]
['it\'s', "a\"b", '\\', '\n', 'é', '\u200b', '\x7f', quote]
{'a': 'b'}|string
[1.0, 1e16, none, true]
n if s is string else f
messages[0].role
messages[0]['content']|length
messages[-1].role == 'user' and messages|length > 1
messages[1:]|length
messages|map(attribute='role')|join(',')
messages|selectattr('role', '==', 'user')|list|last
loop.index
f(1)
n.1
n[0]
n..x
n.
1 +
(1
1)
[1
{1}
{1: 2
'abc
n is
n|
not
a b
1 2
n not xs
*xs
range(*[1, 4])|list
range(**{})|list
dict(**{'a': 1}, b=2)
dict(a=1, **{'b': 2})
dict(**{'a': 1}, **{'b': 2})
dict(*[[('a', 1)]], b=2)
dict(a=1, 2)
dict(a=1, a=2)
dict(a=1, **{'a': 2})
range(1, 3,)|list
$
n ? 1
n # 2
n & 1
xs[:, 1]
d[()]
''|first
1e
1e5
1.e5
.5
0777
0_1
é
日本 is defined
n|default(1)|default(2)
n|d
s in [s]
"a" if "b" in "abc" else "c"
""
n;
"{{ x }}" ~ '%}'
{'a':{'b':{}}}
xs|sort|reverse|first
'a' 'b'|upper
1 in xs == true
1 == 1 in [1]
2 * 3 % 4
1 - 2 - 3
1 ~ 2 + 3
'a' ~ 'b' * 2
2 * 'a' ~ 'b'
10 // 3 * 3
not 1 == 2
not 1 in [2]
- 1 ** 2
xs | first
n | string ~ 'x'
"a,b"|string.split(',')
("a,b"|string).split(',')
[1,2]|first(1)
"abc"|upper(1)
s.upper(1)
d.get()
d.keys(1)
'x'.join()
s.replace('a')
"%s"|format(none)
none|string|upper
[none, none]|unique|list
true|tojson
true|string
(true)|int
true ~ ''
(1, 'a')|join
'abc'|map('upper')|join
'abc'|batch(2)|list
'abc'|sort(reverse=true)
'abc'|max
{'a': 1}|length
{'a': 1}|map('upper')|list
xs is sequence and xs is not string and xs is not mapping
""".strip("\n").split("\n")

TEMPLATES = [
    # Text, comments, raw, white space around tags.
    "", "\n", "\n\n", "a\n", "a\r\nb\rc\n", "a{# c #}b", "a {#- c -#} b", "a\n{# c #}\nb", "a\n  {# c #}  \nb", "{# a\nb #}\nc",
    "a\n{#- c #}\nb", "a\n{# c -#}\n\n b", "a\n{#+ c +#}\nb", "a{##}b", "{# {{ x }} #}x", "{# unclosed", "a #} b", "{#-#}x",
    "  {% if t %}\n  x\n  {% endif %}\n  y", "a {% if t %} b {% endif %} c", "a\n {%- if t %} b {%- endif %}\n c",
    "a\n {% if t -%} \n b {% endif -%} \n c", "  {%+ if t %}x{% endif %}", "{% if t +%}\nx{% endif %}", "a\n  {{ n }}  \nb",
    "a\n  {{- n -}}  \nb", "a  {{+ n }}  b", "a {{ n +}} b", "{{ n }}\n", "{{ n }}\n\n", "{% if t %}\n{% endif %}\n", "\t{% if t %}\n\tx\n\t{% endif %}\n",
    "x\u00a0\n\u00a0{%- if t %}y{% endif %}", "{% if t %}\r\nx{% endif %}", "{% if t %} \nx{% endif %}", "{%if t%}x{%endif%}",
    "{%- if t -%}x{%- endif -%}", "{{n}}{{-n-}}", "{% raw %}{{ x }}{% if %}{% endraw %}", "a {%- raw -%} {{ x }} {%- endraw -%} b",
    "{% raw %}\n a\n{% endraw %}\nb", "  {% raw %}x{% endraw %}  y", "{% raw %}x", "{% raw %}{% endraw %}", "{%raw%}{#{%endraw%}x",
    "{% raw %}a{% endraw +%}\nb", "a\n   {% raw %}\n b\n   {% endraw %}\n c", "{% rawx %}", "{ { n } }", "{", "{{", "{%", "{#", "}}", "%}", "{{ n", "{% if t",
    "{{ '}}' }}", "{{ \"%}\" }}{% if '%}' %}x{% endif %}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {} }}", "{{ {}}}", "{{}}", "{{ }}", "{% %}", "{%%}",
    "{{ n -}}\n\n{% if t %}\n x{% endif %}", "x\n\n\n{%- if t %}\ny\n{%- endif %}\n\nz", "{{ n }}\\n", "\\{{ n }}", "{{{ n }}}", "{{ n }}}", "$ {n} #",
    "a\n\n  {% set x = 1 %}\n\nb", "  a {% set x = 1 %} b\n", "a\n {% set x = 1 -%}\n\n b", "line\n{%- set x = 1 %}\nline", "\n{% set x = 1 %}\n", "\n\n{%- set x = 1 -%}\n\n",
    "{{ [\n1,\n2\n] }}", "{% set x = {\n 'a': 1,\n} %}{{ x }}", "{{ n\n}}\n{{ nosuch.x }}", "{{ 'a\nb' }}", "{{ 'a\r\nb'|length }}", "{{- '\\n' -}}\n", "日本{{ u }}\n語",
    # if
    "{% if n > 5 %}a{% elif n %}b{% else %}c{% endif %}", "{% if no %}a{% elif t %}b{% else %}c{% endif %}", "{% if no %}a{% elif no %}b{% else %}c{% endif %}", "{% if no %}a{% endif %}",
    "{% if t: %}a{% endif %}", "{% if 1, %}a{% endif %}", "{% if %}a{% endif %}", "{% if t %}a", "{% if t %}a{% else %}b{% else %}c{% endif %}", "{% endif %}", "{% else %}", "{% if t %}{% endfor %}",
    "{% if t %}a{% elif %}b{% endif %}", "{% if 1 if t else 0 %}a{% endif %}", "{% if (1 if t else 0) %}a{% endif %}", "{% if not n %}a{% else %}b{% endif %}", "{% if missing %}a{% endif %}b", "{% if missing.x %}a{% endif %}b",
    "{% if xs|length == 3 and not none %}y{% endif %}", "{% if t %}{% if no %}{% else %}x{% endif %}{% endif %}", "{% if no %}{{ n|nosuch }}{% endif %}ok", "{% if t %}{{ n|nosuch }}{% endif %}", "{% if n is nosuch %}{% endif %}",
    "{% if no %}{% for x in xs %}{{ x|nosuch }}{% endfor %}{% endif %}ok", "{{ n if t else n|nosuch }}", "{{ no and (n|nosuch) }}",
    # for
    "{% for x in xs %}{{ x }},{% endfor %}", "{% for x in none %}{{ x }}{% else %}empty{% endfor %}", "{% for x in xs %}{{ x }}{% else %}empty{% endfor %}", "{% for x in missing %}{{ x }}{% else %}e{% endfor %}", "{% for x in n %}{% endfor %}", "{% for x in nil %}{% endfor %}",
    "{% for c in 'añb' %}[{{ c }}]{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for (a, b) in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in ['xy'] %}{{ a }}-{{ b }}{% endfor %}",
    "{% for x in xs if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% endfor %}", "{% for x in xs if x > 9 %}x{% else %}none{% endfor %}", "{% for x in xs if loop.first %}{% endfor %}", "{% for x in xs %}{% for y in xs if loop.first %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{% for x in xs %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}", "{% for x in xs %}{{ loop.previtem }}<{{ x }}<{{ loop.nextitem }} {% endfor %}", "{% for x in xs %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}",
    "{% for x in xs %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in xs %}{{ loop.cycle() }}{% endfor %}", "{% for x in xs %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}", "{% for x in xs %}{{ loop|length }}{% if loop %}y{% endif %}{% endfor %}", "{% for x in xs %}{{ loop.nosuch }}{% endfor %}",
    "{% for x in xs|map('string') %}{{ x }}{{ loop.last }}{{ loop.length }} {% endfor %}", "{% for x in xs|reverse %}{{ loop.revindex }}{{ x }} {% endfor %}", "{% set it = xs|map('string') %}{% for x in it %}{{ x }}{% break %}{% endfor %}{% for x in it %}{{ x }};{% endfor %}", "{% set it = xs|select %}{{ it|list }}{{ it|list }}", "{% set it = xs|select %}{{ it|first }}{{ it|list }}{% if it %}true{% endif %}", "{% set it = xs|select %}{{ 1 in it }}{{ it|list }}",
    "{% for x in xs %}{% for y in xs %}{{ loop.index }}{{ x }}{{ y }} {% endfor %}{{ loop.index }}|{% endfor %}", "{% for x in xs %}{% set outer = loop %}{% for y in xs %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}", "{% for x in xs %}{{ x }}{% endfor %}{{ x }}", "{% set x = 9 %}{% for x in xs %}{{ x }}{% endfor %}{{ x }}",
    "{% for x in xs %}{{ loop([1]) }}{% endfor %}",
    "{% for x in xs %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in xs %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in xs %}{% break %}{% else %}e{% endfor %}", "{% for x in xs %}{% continue %}{% else %}e{% endfor %}", "{% for x in xs %}{% if loop.first %}{% continue %}{% endif %}{% break %}{% else %}e{% endfor %}", "{% raw %}", "a{#", "{% break %}", "{% continue %}", "{% for x in xs %}{% for y in xs %}{% break %}{% endfor %}{{ x }}{% endfor %}", "{% for x in xs %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% for x in xs %}a{% set y %}b{% break %}c{% endset %}d{% endfor %}e", "{% for x in xs %}{% filter upper %}a{% continue %}{% endfilter %}b{% endfor %}", "{% for x in xs %}{% with %}{% break %}{% endwith %}{% endfor %}x", "{% for x in none %}{% else %}{% break %}{% endfor %}", "{% for y in xs %}{% for x in none %}{% else %}{{ y }}{% break %}{% endfor %}{% endfor %}",
    "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}", "{% for x in (1, 2) if t %}{{ x }}{% endfor %}", "{% for x in xs if x in [1, 2] %}{{ x }}{% endfor %}", "{% for x in xs %}", "{% for x xs %}{% endfor %}", "{% for in xs %}{% endfor %}", "{% for 1 in xs %}{% endfor %}", "{% for x.y in xs %}{% endfor %}", "{% for loop in xs %}{% endfor %}", "{% for x in xs %}{% set loop = 1 %}{% endfor %}", "{% for true in xs %}{% endfor %}",
    "{% for x in range(3) %}{{ x }}{% endfor %}", "{% for i in range(xs|length - 1, -1, -1) %}{{ xs[i] }}{% endfor %}", "{% for m in messages[::-1] %}{{ loop.index0 }}{{ m.role }} {% endfor %}", "{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ m['content'] }}{{ ',' if not loop.last }}{% endfor %}", "{% for x in xs %}{{ x }}{{ loop.index }}{% else %}{{ loop }}{% endfor %}", "{% for x in namespace(a=1) %}{% endfor %}", "{% set ns = namespace(on=true) %}{% for x in xs if ns.on %}{{ x }}{% set ns.on = false %}{% endfor %}", "{% set ns = namespace(on=true) %}{% for x in xs if ns.on %}{{ x }}{{ loop.last }}{% set ns.on = false %}{% endfor %}", "{% set ns = namespace(on=true) %}{% for x in xs if ns.on %}{{ loop.length }}{% set ns.on = false %}{% endfor %}",
    # set and scopes
    "{% set x = 1 %}{{ x }}", "{% set x, y = 1, 2 %}{{ x }}{{ y }}", "{% set (x, y) = (1, 2) %}{{ x }}{{ y }}", "{% set x, y = xs %}", "{% set x = 1, 2 %}{{ x }}", "{% set x = 1 if no else 2 %}{{ x }}", "{% set x %}a{{ n }}b{% endset %}[{{ x }}]", "{% set x | upper %}a{{ n }}b{% endset %}{{ x }}", "{% set x | upper | replace('A', 'Q') %}a{% endset %}{{ x }}", "{% set x | replace(s, 'z') %}{{ s }}{% endset %}{{ x }}",
    "{% set x = 1 %}{% for i in xs %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}", "{% if no %}{% set s = 2 %}{% endif %}{{ s }}", "{% if no %}{% set q = 2 %}{% endif %}{{ q }}", "{{ s }}{% set s = 1 %}{{ s }}", "{% for i in xs %}{{ s }}{% endfor %}{% set s = 1 %}", "{% macro m() %}{{ s }}{% endmacro %}{{ m() }}{% set s = 1 %}{{ m() }}", "{% for i in xs %}{{ q }}{% set q = i %}{% endfor %}{{ q }}", "{% for i in xs %}{% if i == 1 %}{% set s = i %}{% endif %}{{ s }}{% endfor %}{{ s }}",
    "{% set ns = namespace(x=0) %}{% for i in xs %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}", "{% set d.x = 1 %}", "{% set q.x = 1 %}", "{% set xs[0] = 1 %}", "{% set 1 = 2 %}", "{% set x %}", "{% set x = %}", "{% set %}", "{% set none = 1 %}", "{% set ns = namespace(x=[]) %}{% for i in xs %}{% set ns.x = ns.x + [i] %}{% endfor %}{{ ns.x|tojson }}", "{% set ns = namespace(a=none) %}{{ ns.a is none }}{{ ns.b is defined }}", "{% set ns = namespace(x=1) %}{% set other = ns %}{% set other.x = 2 %}{{ ns.x }}", "{% set x = x|default(5) %}{{ x }}", "{% set s = s ~ '!' %}{{ s }}", "{% set x = [] %}{% set x = x + [1] %}{% set x = x + [x] %}{{ x }}", "{% set ns = namespace(x=1) %}{% set ns.x %}block{% endset %}{{ ns.x }}", "{% set range = 5 %}{{ range }}", "{% set namespace = 1 %}{% set x = namespace %}{{ x }}",
    "{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x }}", "{% with x = 1, y = 2 %}{{ x }}{{ y }}{% endwith %}{{ x }}", "{% set x = 5 %}{% with x = x + 1, y = x %}{{ x }}{{ y }}{% endwith %}{{ x }}", "{% with a, b = (1, 2) %}{{ a }}{% endwith %}", "{% with x %}{% endwith %}", "{% with x = 1 y = 2 %}{% endwith %}", "{% with x = 1 %}{% set x = 2 %}{{ x }}{% endwith %}{{ x }}",
    "{% filter upper %}a{{ n }}b{% endfilter %}", "{% filter upper | replace('A', 'b') %}a{% endfilter %}", "{% filter replace(s, 'x') %}{{ s }}{% endfilter %}", "{% filter trim %}\n  a\n {% endfilter %}|", "{% filter nosuch %}{% endfilter %}", "{% filter %}{% endfilter %}", "{% filter upper %}{% set z = 1 %}{{ z }}{% endfilter %}{{ z }}",
    "{% generation %}a{{ n }}{% set q = 1 %}{% endgeneration %}{{ q }}", "{% for x in xs %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}", "{%- generation -%} a {%- endgeneration -%}", "{% generation %}", "{% for x in xs %}{% generation %}{% break %}{% endgeneration %}{% endfor %}",
    # macros
    "{% macro m() %}x{% endmacro %}{{ m() }}", "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=1, a=2) }}{{ m(a=5) }}", "{% macro m(a) %}{{ a }}{{ a is defined }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=1) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(3) }}", "{% macro m(a=b, b=1) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}{{ m(a=1) }}", "{% macro m(kwargs=1) %}{{ kwargs }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}x{{ n }}{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}", "{% macro m() %}[{{ caller(1, b=2) }}]{% endmacro %}{% call(a, b=5) m() %}{{ a }}{{ b }}{% endcall %}", "{% macro m(x) %}{{ x }}{{ caller() }}{% endmacro %}{% call m(3) %}c{% endcall %}", "{% macro m() %}a{% endmacro %}{% call m() %}x{% endcall %}", "{% macro m(caller) %}{{ caller() }}{% endmacro %}", "{% macro m(caller=none) %}{{ caller() if caller else 'no' }}{% endmacro %}{{ m() }}{% call m() %}yes{% endcall %}", "{% call n %}{% endcall %}", "{% call n() %}{% endcall %}",
    "{% macro f(k) %}{% if k > 0 %}{{ k }}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(4) }}", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{{ m() }}{% macro m() %}{% endmacro %}", "{% macro m() %}{% set q = 1 %}{{ q }}{% endmacro %}{{ m() }}{{ q }}", "{% set q = 1 %}{% macro m() %}{{ q }}{% endmacro %}{% set q = 2 %}{{ m() }}", "{% macro m() %}{{ x }}{% endmacro %}{% for x in xs %}{{ m() }}{% endfor %}", "{% for x in xs %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{% for x in xs %}{% macro m(y) %}{{ x }}{{ y }}{{ loop.index }}{% endmacro %}{{ m(1) }}{% endfor %}", "{% macro m() %}{% macro k() %}in{% endmacro %}{{ k() }}{% endmacro %}{{ m() }}", "{% macro m(x) %}{% for i in x %}{% if i is iterable and i is not string %}{{ m(i) }}{% else %}{{ i }}{% endif %}{% endfor %}{% endmacro %}{{ m([1, [2, ['a', [3]]]]) }}", "{% if t %}{% macro m() %}x{% endmacro %}{% endif %}{{ m() }}", "{% if no %}{% macro m() %}x{% endmacro %}{% endif %}{{ m() }}", "{% macro m() %}  x\n{% endmacro %}[{{ m() }}]", "{% macro m(a, b) -%}\n {{ a }} \n{%- endmacro %}[{{ m(1) }}]", "{{ [1, 2]|map('nosuch2')|list }}{% macro nosuch2(x) %}{% endmacro %}", "{% macro m(a, a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro %}{% endmacro %}", "{% macro m %}{% endmacro %}", "{% macro m(1) %}{% endmacro %}", "{% macro m() %}", "{% macro loop() %}x{% endmacro %}{{ loop() }}", "{% macro m() %}{{ n }}{% if no %}{% set n = 3 %}{% endif %}{{ n }}{% endmacro %}{{ m() }}",
    "{% macro outer() %}{% call inner() %}{{ caller() }}{% endcall %}{% endmacro %}{% macro inner() %}<{{ caller() }}>{% endmacro %}{% call outer() %}x{% endcall %}", "{% set ns = namespace(f=none) %}{% macro m(x) %}{{ x }}!{% endmacro %}{% set ns.f = m %}{{ ns.f(1) }}", "{% set f = 'abc'.upper %}{{ f() }}", "{% set items = d.items %}{% for k, v in items() %}{{ k }}{% endfor %}", "{% macro m(x) %}{{ x|tojson }}{% endmacro %}{{ m({'a': 1})|length }}{{ m('<')|upper }}", "{% macro m() %}{{ kwargs.items()|list }}{% endmacro %}{{ m(b=1, a=2) }}",
    # exceptions
    "{{ raise_exception('Only user and assistant roles are supported!') }}", "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}", "{{ raise_exception(xs) }}",
    # not in chat templates
    "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% nosuch %}", "{% endfor %}", "{% 1 %}", "{% for x in xs %}{% endif %}{% endfor %}", "{% do xs.append(1) %}", "{% trans %}x{% endtrans %}", "{% debug %}",
]


def exception_name(error):
    return type(error).__name__


def rendered(template, context):
    want = check_templates.expected(template, context)
    if isinstance(want, Exception):
        return {"raises": exception_name(want), "message": str(want)}
    return {"text": want}


def small_case(template):
    environment_template = None
    try:
        environment_template = chat_template_utils._compile_jinja_template(template)
        return {"template": template, "text": environment_template.render(**CONTEXT)}
    except Exception as error:  # noqa: BLE001: a template may raise anything
        return {"template": template, "raises": exception_name(error), "message": str(error)}


def main():
    chat_template_utils.datetime = check_templates.FrozenDatetime
    small = [small_case("{{ " + line + " }}") for line in EXPRESSIONS]
    small += [small_case(template) for template in TEMPLATES]
    for case in small:
        if " at 0x" in case.get("text", ""):
            sys.exit(f"prints an address: {case}")
    conversations = dict(check_templates.contexts())
    chats = []
    for path in sorted(GOLDEN.glob("*.jinja")):
        for name, context in conversations.items():
            chats.append({"file": path.name, "conversation": name, **rendered(path.read_text(), context)})
    about = {"command": "python3 scripts/golden/jinja.py", "date": datetime.date.today().isoformat(),
             "versions": {"python": platform.python_version(), "jinja2": jinja2.__version__,
                          "transformers": transformers.__version__}}
    with open(GOLDEN / "cases.json", "w", encoding="utf-8") as file:
        file.write("{\n")
        for key, value in (("about", about), ("now", check_templates.NOW), ("context", CONTEXT),
                           ("conversations", conversations)):
            file.write(f"{json.dumps(key)}: {json.dumps(value)},\n")
        for key, cases in (("cases", small), ("chats", chats)):
            lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
            file.write(f"{json.dumps(key)}: [\n{lines}\n]{',' if key == 'cases' else ''}\n")
        file.write("}\n")
    refused = sum("raises" in case for case in small)
    print(f"{len(small)} small templates, {refused} refused; {len(chats)} chats")


if __name__ == "__main__":
    main()
