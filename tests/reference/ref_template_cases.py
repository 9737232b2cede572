# SPDX-License-Identifier: MIT
"""Small templates, one a line: what they are made of is tested by these, one by one."""

# between {{ and }}
EXPRESSIONS = r'''
1 + 2 * 3
2 ** 3 ** 2
-2 ** 2
-3 | abs
7 // 2
-7 // 2
-7 % 3
7 % -3
7.5 // 2
-7.5 % 2
1 / 3
10 / 2
1e16
1e15
1.5e-7
0.1 + 0.2
123456789012345678
1_000
0x1f
0b101
1e3
2.50
1.0
100000000000000000000.0
[1, 2.5, none, true, 'a"b', "it's", "x\ty\n", 'é', '\x7f', '\u200b']
{'a': 1, 2: [3, (4,), ()], none: {}}
(1, 2)
(1,)
1, 2
'a' 'b'
"a" ~ 1 ~ none ~ true ~ 1.5 ~ [1]
'abc'[0] ~ 'abc'[-1]
'abc'[5]
'abcdef'[1:4]
'abcdef'[::-1]
'abcdef'[-3:]
'abcdef'[:-2]
'abcdef'[4:1:-1]
'héllo wörld'[1:8:2]
[1,2,3,4,5][::2]
[1,2,3,4,5][::-2]
[1,2,3][5:]
(1,2,3)[1:]
range(5)[1:3] | list
range(10)[2]
range(3)
range(1, 10, 3) | list
range(5, 0, -2) | list
range(0)
1 < 2 < 3
1 < 2 > 3
1 == 1.0
true == 1
'a' < 'b'
[1,2] < [1,3]
1 in [1,2]
4 not in [1,2]
'b' in 'abc'
'k' in {'k': 1}
none in [none]
not 1
not 0 and 1
1 or 0
0 or 'x'
'' and 1
1 if false
1 if false else 2
(1 if true else 2) if 1 else 3
undefined_thing
undefined_thing is defined
undefined_thing.foo
undefined_thing + 1
undefined_thing | length
undefined_thing | list
undefined_thing == other_undefined
undefined_thing in [1]
1 in undefined_thing
undefined_thing | default('d')
'' | default('d')
'' | default('d', true)
none | default('d')
none | default('d', boolean=true)
{'a': {'b': [1, {'c': 'deep'}]}}.a.b[1].c
{'a': 1}['a']
{'a': 1}.get('a')
{'a': 1}.get('b')
{'a': 1}.get('b', 'dflt')
{'items': 5}['items']
{'a': 1, 'b': 2}.items() | list
{'a': 1, 'b': 2}.keys() | list
{'a': 1, 'b': 2}.values() | list
{'a': 1}.items()
{'a': 1}.keys()
{'b': 1, 'a': 2} | dictsort
{'b': 1, 'A': 2, 'a': 0} | dictsort
{'b': 1, 'A': 2} | dictsort(true)
{'b': 1, 'A': 2} | dictsort(false, 'value')
{'b': 1, 'A': 2} | dictsort(reverse=true)
{'b': 1, 'A': 2} | items | list
[3,1,2] | sort
[3,1,2] | sort(reverse=true)
['b','A','a','B'] | sort
['b','A','a','B'] | sort(case_sensitive=true)
[{'n': 2}, {'n': 1}] | sort(attribute='n')
[{'n': 2, 'm': 'x'}, {'n': 1, 'm': 'y'}, {'n': 2, 'm': 'a'}] | sort(attribute='n,m')
[1,2,2,3,1] | unique | list
['a','A','b'] | unique | list
[1,2,3] | sum
[{'v': 1}, {'v': 2}] | sum(attribute='v')
[1,2] | sum(start=10)
[1,5,3] | max
[1,5,3] | min
[] | max
['b', 'A'] | min
[1,2,3,4,5] | batch(2) | list
[1,2,3,4,5] | batch(2, 'x') | list
[1,2,3,4,5] | slice(2) | list
[1,2,3,4,5] | slice(3, 'f') | list
[{'g': 'a', 'v': 1}, {'g': 'b', 'v': 2}, {'g': 'A', 'v': 3}] | groupby('g')
[1,2,3] | first
[] | first
[1,2,3] | last
'abc' | first
'abc' | last
'abc' | list
'abc' | reverse
[1,2,3] | reverse | list
[1,2,3] | join
[1,2,3] | join(', ')
[1,none,'x'] | join('-')
[{'a': 1}, {'a': 2}] | join('|', attribute='a')
[{'a': 1}, {'a': 2}, {}] | map(attribute='a') | list
[{'a': 1}, {}] | map(attribute='a', default='z') | list
[{'a': {'b': 1}}] | map(attribute='a.b') | list
[[1,2],[3]] | map('first') | list
['a','b'] | map('upper') | list
['a','b'] | map('replace', 'a', 'z') | list
[[1,2],[3]] | map('join', '-') | list
[1,2,3,4] | select('even') | list
[1,2,3,4] | select('>', 2) | list
[0,1,'',none,'x'] | select | list
[0,1,'',none,'x'] | reject | list
[1,2,3] | reject('in', [2]) | list
[{'r': 'u'}, {'r': 'a'}, {}] | selectattr('r', 'equalto', 'u') | list
[{'r': 'u'}, {'r': 'a'}, {}] | selectattr('r', 'defined') | list
[{'r': 'u'}, {'r': ''}] | selectattr('r') | list
[{'r': 'u'}, {'r': ''}] | rejectattr('r') | list
[{'r': 'u'}] | selectattr('r', 'in', ['u']) | list | length
'  x ' | trim
'xxaxx' | trim('x')
'abc' | upper
'ABC Def' | lower
'hello wORLD-foo (bar)' | title
'hELLO' | capitalize
"they're bill's" | title
"they're bill's friends".title()
'a b' | replace('a', 'b')
'aaa' | replace('a', 'b', 2)
'a' | replace('', '-')
'abc' | replace('', '-')
'a<b>&"\'' | escape
'a<b>' | e | length
('<a>' | safe) + '<b>'
'<b>' + ('<a>' | safe)
('<a>' | safe) ~ '<b>'
('<a>' | safe) | upper
'<a>' | safe | tojson
'line1\nline2\n\nline4' | indent
'line1\nline2\n\nline4' | indent(2, true)
'line1\nline2\n\nline4' | indent(2, blank=true)
'line1\nline2' | indent('> ')
'' | indent
'a\n' | indent
'foo bar baz qux' | truncate(9)
'foo bar baz qux' | truncate(9, true)
'foo bar baz qux' | truncate(11)
'foo bar baz qux' | truncate(11, false, '...', 0)
'hello world foo_bar' | wordcount
'abc' | center(9) ~ '|'
'abc' | length
'你好' | length
[1,2] | count
{'a': 1} | length
5 | length
'5' | int + 1
'5.7' | int
'x' | int
'x' | int(7)
'0x1f' | int(base=16)
'ff' | int(0, 16)
' 12 ' | int
'1_000' | int
3.99 | int
-3.99 | int
none | int
true | int
'2.5' | float
'x' | float
'x' | float(1.5)
' 1e3 ' | float
'nan' | float
'inf' | float
3 | float
42.55 | round
42.55 | round(1)
42.55 | round(1, 'floor')
42.51 | round(1, 'ceil')
2.5 | round
3.5 | round
42 | round
42 | round(-1)
45 | round(-1)
-1.5 | abs
'abc' | string
5 | string | length
[1,2] | string
{'a': [1, 'é', "<'>", none, true, 1.5, 1e20]} | tojson
{'a': [1, {'b': []}, {}]} | tojson(indent=2)
{'a': [1, {'b': [1, 2]}]} | tojson(indent=4)
[1, 2] | tojson(indent=0)
{'b': 1, 'a': 2} | tojson(sort_keys=true)
{'b': 1} | tojson(separators=(',', ':'))
'é\u2028\x7f\t"\\/' | tojson
'é😀' | tojson(ensure_ascii=true)
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
(1, 2) | tojson
undefined_thing | tojson
[undefined_thing] | tojson
range(3) | tojson
range(3) | list | tojson
'%s and %d' | format('one', 2)
'%05.2f|%-5s|%5s|%x' | format(3.14159, 'ab', 'cd', 255)
'%(a)s' | format(a=1)
'%s' % 'x'
'%s %s' % ('x', 1)
'%s' % none
'%r' % 'x'
'%%'  % ()
'%d' % 3.7
'%+d % d %05d' % (1, 2, 3)
'%e' % 12345.678
'%g' % 0.0001
'%c' % 'x'
'{} {}'.format(1, 'a')
'{1} {0}'.format(1, 'a')
'{a} {b[0]} {c.d}'.format(a=1, b=[2], c={'d': 3})
'{:>5}|{:<5}|{:^5}|{:*^7}'.format(1, 2, 3, 'x')
'{:.2f}|{:,}|{:05d}|{:x}|{:#x}|{:+d}|{:e}|{:.1%}'.format(3.14159, 1234567, 42, 255, 255, 7, 1234.5, 0.256)
'{!r} {!s}'.format('a', 'b')
'{{}}'.format()
'{:5}|{:5}'.format('a', 1)
'{}'.format(none)
'{}'.format([1, 'a'])
'{}'.format(1.0)
'{:g}'.format(1.0)
'{:.3}'.format('abcdef')
'{} {}'.format(1)
' pad '.strip() ~ '|' ~ ' pad '.lstrip() ~ '|' ~ ' pad '.rstrip()
'xxhixx'.strip('x')
'a,b,,c'.split(',')
' a  b c '.split()
'a b c d'.split(' ', 2)
' a  b c '.split(none, 1)
'a,b,c'.rsplit(',', 1)
' a b c '.rsplit(none, 1)
'a--b--c'.split('--')
'abc'.split('')
'a\nb\r\nc\rd'.splitlines()
'a\nb\n'.splitlines()
'a\nb\n'.splitlines(true)
'abcabc'.find('c') ~ 'abcabc'.rfind('c') ~ 'abc'.find('z')
'abcabc'.find('c', 3)
'abc'.index('z')
'banana'.count('an')
'banana'.count('')
'abc'.startswith('ab') ~ 'abc'.endswith('bc') ~ 'abc'.startswith('b', 1)
'abc'.startswith(('x', 'a'))
'a-b-c'.partition('-')
'a-b-c'.rpartition('-')
'abc'.partition('-')
'abc'.rpartition('-')
'-'.join(['a', 'b'])
'-'.join([1])
'-'.join('abc')
'abc'.removeprefix('a') ~ 'abc'.removesuffix('c')
'abc'.replace('b', 'x')
'abab'.replace('a', 'x', 1)
'Hello'.swapcase()
'HELLO straße'.casefold()
'straße ŉ ﬁ'.upper()
'İΑΣ ΑΣΑ'.lower()
'ﬁx ǆ'.title()
'ﬁX'.capitalize()
'abc'.center(7, '*') ~ 'abc'.ljust(5) ~ '|' ~ 'abc'.rjust(5, '.')
'abc'.center(6, '*') ~ 'ab'.center(5, '*')
'42'.zfill(5) ~ '-42'.zfill(5)
'a\tb'.expandtabs(4)
'abc1'.isalnum() ~ 'abc'.isalpha() ~ '12'.isdigit() ~ ' '.isspace() ~ 'a b'.isalpha() ~ ''.isalpha()
'abc'.islower() ~ 'ABC'.isupper() ~ 'Abc'.istitle() ~ '12'.islower() ~ '½'.isnumeric() ~ '²'.isdigit()
'abc'.isidentifier() ~ '1a'.isidentifier() ~ 'é'.isascii() ~ '\n'.isprintable()
'abc'.nope
'abc'.nope()
[1,2].append(3)
[1,2].index(2)
[1,2,2].count(2)
[1].copy()
(1,2).index(2)
{'a': 1}.copy()
{'a': 1}.update({'b': 2})
{'a': 1}.pop('a')
{}.__class__
''.__class__.__mro__
{'a': 1}.clear
{'pop': 1}['pop']
{'pop': 1}.pop
x.y if x is defined else 'no'
1 is number
true is number
1 is integer
true is integer
1.0 is float
'a' is string
[] is sequence
{} is sequence
'a' is sequence
1 is sequence
{} is mapping
[] is iterable
1 is iterable
undefined_thing is iterable
undefined_thing is sequence
none is none
1 is not none
2 is even
3 is odd
6 is divisibleby 3
6 is divisibleby(4)
1 is eq 1
1 is equalto(2)
1 is gt 0
3 is lessthan 4
1 is in [1,2]
1 is not in [1,2]
'a' is lower
'A' is upper
1 is true
true is true
0 is false
false is false
true is boolean
range is callable
1 is callable
1 is sameas 1
none is sameas none
[] is sameas []
'x' is escaped
('x' | safe) is escaped
1 is nosuchtest
1 | nosuchfilter
'upper' is filter
'even' is test
namespace(a=1).a
namespace({'b': 2}, a=1).b
namespace(a=1).zzz
namespace(a=1)['a']
dict(a=1, b=2)
dict([['a', 1]])
dict({'a': 1}, b=3)
cycler('a', 'b').next()
strftime_now('%Y-%m-%d %H:%M:%S %A %B %j %d %b %y %p %I %%')
raise_exception('boom')
raise_exception()
[1, 2] + [3]
(1,) + (2,)
[1] + (2,)
'a' + 1
1 + 'a'
'ab' * 3
3 * 'ab'
[0] * 3
'a' * -1
[1] * 2.0
none + 1
1 / 0
1 // 0
1 % 0
1.5 / 0
2 ** 0.5
2 ** -1
2 ** 62
true + true
-true
- 'a'
+5
~5
1 ~ 2 * 3
1 + 2 ~ 3
'a' if 'x' in 'xyz' and not false else 'b'
[1,2,3][1]
[1,2,3][-1]
[1,2,3][10]
[1,2,3]['a']
{'a': 1}[0]
{1: 'x'}[1]
{1: 'x'}[true]
{1: 'x'}[1.0]
{[1]: 2}
none.foo
none['foo']
5 .foo
[[1,2],[3,4]][1][0]
[1,2].0
{'a': [1,2]}.a.1
'\x41\u00e9\101\n\q'
"\"'"
'é'.upper()
[1,2,3] | map('string') | join('+')
{'a': 1} | attr('a')
'a' in undefined_thing
[none, undefined_thing]
[3, 'a'] | sort
5 | join
none | list
none | length
'x' | map('upper') | list
{'a': 1} | map('upper') | list
{'b': 1, 'a': 2} | list
{'b': 1, 'a': 2} | first
{'b': 1, 'a': 2} | last
'a b' | urlencode
'é/&=' | urlencode
[] | tojson
'' | tojson
1.0 | tojson
1e100 | tojson
-0.0
0.0 == -0.0
1e400
9223372036854775807
{'a': 1} == {'a': 1}
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
[1, [2]] == [1, [2.0]]
(1, 2) == [1, 2]
'a' == 1
'1' == 1
[1, 2, 3] | select('divisibleby', 3) | first
[[3, 'c'], [1, 'a']] | sort
{'x': [1, 2]} | string
("a" | safe) ~ ""
[('a' | safe)]
'a' | safe | replace('a', '<')
' x ' | safe | trim
"%s" | safe | format('<')
'abc' | batch(2) | map('join') | list
'3' is number
'abc' is not string
not 'a' in 'b'
not ('a' in 'b')
(not true) == false
1 if 1 if 0 else 1 else 2
[1, 2,]
{'a': 1,}
(1, 2,)
[]
{}
()
'a'.upper().lower().title()
'a,b'.split(',')[1].upper()
'x'|upper|lower
-1 | string
- 1 + 2
2 - -1
1 - 1
1 -1
[1,2,3] | length - 1
'abc'|length > 2
messages | length
messages[0].role
messages[-1]['content'] | upper
messages | map(attribute='role') | join(',')
messages[0]
messages | tojson
messages | selectattr('role', '==', 'user') | map(attribute='content') | list
tools
documents
add_generation_prompt
tools is none
tools is defined
bos_token
nothing | string
nothing ~ 'x'
nothing is string
'a' ~ nothing ~ 'b'
nothing | upper
nothing | trim
nothing | int
nothing | float
nothing | join
nothing | sort
nothing | map('upper') | list
nothing | select | list
nothing | first
nothing | reverse | list
nothing | dictsort
nothing | items | list
nothing | string | length
nothing * 2
nothing < 1
-nothing
nothing[0]
nothing[1:]
nothing()
nothing if nothing else 'e'
nothing.a.b is defined
[nothing] | first is defined
'%s' % nothing
'{}'.format(nothing)
nothing is eq nothing
nothing is none
nothing == none
{'a': nothing}
'\u00ad\u3000\xa0'
['\u00ad\u3000\xa0\U0001f600\u0300']
'a' == "a"
'tab\there'
"it's" 
['it\'s "q"']
range(200000)
range(1,2,0)
'x'.join(range(3))
1.5.is_integer()
2.0.is_integer()
'a'.__add__('b')
messages.__len__()
{'a':1}.__getitem__('a')
'{0.__class__}'.format('a')
'{a.__class__}'.format(a=1)
loop
caller
varargs
true.foo
'abc' is in 'abcdef'
1 is in 'abc'
'ab'.split('b', maxsplit=1)
'ab'.split(sep='b')
'a-b'.replace('-', '+', 1)
[1,2,3]|sum(start='')
[[1],[2]]|sum(start=[])
'12abc'|int
'1e2'|int
'-5'|int
'+5'|int
'--5'|int
'0b11'|int(base=2)
'11'|int(base=2)
'z'|int(base=36)
'9'|int(5,8)
'nan'|int
'inf'|int
'a'.center(3) ~ '|'
'{:d}'.format(3.5)
'{:s}'.format(3)
'{:5.1f}|'.format(2.25)
'{:<8}|{:>8}|{:^8}'.format('ab','cd','ef')
'{:08.3f}'.format(3.14159)
'{:,.2f}'.format(1234567.891)
'{:b} {:o} {:X}'.format(5, 8, 255)
'{:6d}|{:<6d}|'.format(42, 42)
'{:+.1f}'.format(2.0)
'{:%}'.format(0.5)
'{: d}'.format(5)
'%5.1f|%-8s|' % (2.25, 'ab')
'%i' % 5
'%o' % 8
'%X' % 255
'%#x' % 255
'%.3s' % 'abcdef'
'%d' % 'a'
'%z' % 1
'%s %s' % 'a'
'%s' % (1, 2)
'abc' % ()
'abc' % 1
'abc' % {}
'%(a)s %(b)d' % {'a': 'x', 'b': 2}
'%(a)s' % {}
'''.strip("\n").split("\n")

# as they are; also three in a row, so that whitespace around tags meets newlines
STATEMENTS = r'''
{% for i in range(3) %}{{ i }},{% endfor %}
{% for i in [] %}x{% else %}empty{% endfor %}
{% for i in [1,2,3] if i > 1 %}{{ i }}{{ loop.index }}{{ loop.last }}{% endfor %}
{% for i in [1,2,3] %}{{ loop.index }}/{{ loop.length }} {{ loop.revindex }} {{ loop.revindex0 }} {{ loop.first }} {{ loop.last }} {{ loop.previtem }} {{ loop.nextitem }};{% endfor %}
{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }} {% endfor %}
{% for k, v in {'a': 1, 'b': 2} | items %}{{ k }}={{ v }} {% endfor %}
{% for (a, b), c in [[[1, 2], 3]] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{% endfor %}
{% for i in range(10) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in range(5) %}{% if i is odd %}{% continue %}{% endif %}{{ i }}{% endfor %}
{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(x=1) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}
{% set x %}block {{ 1 + 1 }}{% endset %}{{ x | upper }}
{% set x | upper %}block{% endset %}{{ x }}
{% set x | replace('a', 'b') | upper %}banana{% endset %}{{ x }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = [1] %}
{% set ns.x = 1 %}
{% set x = {} %}{% set x.y = 1 %}
{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(a=5, c=6) }} {{ m() }}
{% macro m(a) %}[{{ a }}|{{ varargs }}|{{ kwargs }}]{% endmacro %}{{ m(1, 2, 3, k=4) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}inside{% endcall %}
{% macro m() %}<{{ caller(1, x=2) }}>{% endmacro %}{% call(a, x) m() %}{{ a }}-{{ x }}{% endcall %}
{% macro m() %}x{% endmacro %}{% call m() %}inside{% endcall %}
{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}
{% macro m() %}{{ y }}{% endmacro %}{% set y = 1 %}{{ m() }}
{% set y = 1 %}{% macro m() %}{% set y = 2 %}{{ y }}{% endmacro %}{{ m() }}{{ y }}
{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}
{% macro fact(n) %}{{ 1 if n <= 1 else n * (fact(n - 1) | int) }}{% endmacro %}{{ fact(5) }}
{% macro m() %}{{ loop is defined }}{% endmacro %}{% for i in [1] %}{{ m() }}{% endfor %}
{% filter upper %}abc {{ 'def' }}{% endfilter %}
{% filter replace('a', 'b') | upper %}banana{% endfilter %}
{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}
{% set a = 5 %}{% with a = 1, b = a %}{{ b }}{% endwith %}
{% raw %}{{ x }}{% endraw %}
{% generation %}{{ 1 }}{% set q = 2 %}{% endgeneration %}{{ q is defined }}
{# comment #}a{#- c -#} b
a {%- if true %} b {%- endif %} c
a {%+ if true %} b {%+ endif %} c
  {% if true %}  x{% endif %}
{{- 'a' -}}  b
{{ 'a' }}
{%- for i in [1,2] -%} {{ i }} {%- endfor -%}
{% for i in [[1,[2]],[3]] recursive %}{{ loop.depth }}{% if i is iterable %}({{ loop(i) }}){% else %}{{ i }}{% endif %}{% endfor %}
{% for i in [1,1,2] %}{{ loop.changed(i) }}{% endfor %}
{% for i in [1,2,3] %}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for c in 'héy' %}{{ c }}.{% endfor %}
{% for k in {'a': 1} %}{{ k }}{% endfor %}
{% for x in none %}{% endfor %}
{% for x in nothing %}a{% else %}b{% endfor %}
{% for x in 5 %}{% endfor %}
{% set g = [1,2] | map('string') %}{{ g | list }}{{ g | list }}
{% set g = [1,2] | select %}{{ g | length }}
{% for i in [1,2] %}{% for j in [3,4] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}
{% for i in [1,2,3] if not ns.done %}{{ i }}{% endfor %}
{% set ns = namespace(done=false) %}{% for i in [1,2,3] if not ns.done %}{{ i }}{% if i == 2 %}{% set ns.done = true %}{% endif %}{% endfor %}
{% set ns = namespace(done=false) %}{% for i in [1,2,3] if not ns.done %}{{ i }}{{ loop.last }}{% if i == 2 %}{% set ns.done = true %}{% endif %}{% endfor %}
{% for i in [1,2,3,4] if i is even %}{{ loop.length }}{{ loop.index }}{{ loop.revindex }}{{ loop.last }}{% endfor %}
{% if 1 %}a{% elif 2 %}b{% else %}c{% endif %}
{% if 0 %}a{% elif 2 %}b{% else %}c{% endif %}
{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}
{% if 0 %}a{% elif 0 %}b{% endif %}
{% if true: %}x{% endif %}
{% if %}{% endif %}
{% if true %}
{% endif %}
{% for x in [1] %}
{{ 1 +
{{ 'abc }}
{{ 1 } }}
{{ (1 }}
{% break %}
{% set %}
{% set 1 = 2 %}
{% set true = 2 %}
{% macro %}{% endmacro %}
{{ a b }}
{{ | upper }}
{{ 1 is }}
{{ 1 is 2 }}
{% print 1, 2 %}
{{ '}}' }}
{{ {'a': {'b': 1}} }}
{{ {'a': '}}'}['a'] }}
{{ "a" }}{{ 'b' }}   c   
{{ 1 }}

{{ 2 }}
{% set x = 1 -%}

   y
{%- set x = 1 %}

z
{#- a -#}   b   {#- c #}

d
   {# lstrip #}
e
   {{ 'no lstrip' }}
f
 x {% if true %}
y
 {% endif %}
z
{%- raw -%}  a {{ b }}  {%- endraw -%}  c
   {% raw %}
x
   {% endraw %}
y
{{ [1,
2] }}
{% set x = namespace(a=[]) %}{% set x.a = x.a + [1] %}{% set x.a = x.a + [2] %}{{ x.a }}
{% set s = namespace(t='') %}{% for i in range(300) %}{% set s.t = s.t + 'ab' + (i | string) %}{% endfor %}{{ s.t }}
{% set s = 'x' %}{% set a = s + 'b' %}{% set c = s + 'd' %}{{ a }}{{ c }}
{% set t = ('q' * 300) + 'a' %}{% set u = t + 'b' %}{% set v = t + 'c' %}{{ u[-3:] }}{{ v[-3:] }}{{ t[-3:] }}
{% for i in range(3) %}{% set loop_var = loop %}{% endfor %}{{ loop_var is defined }}
{% for i in [1] %}{{ loop }}{% endfor %}
{{ namespace(a=1) }}
{% macro m() %}{% endmacro %}{{ m }}{{ m.name }}
{% set x = cycler('a', 'b') %}{{ x.next() }}{{ x.next() }}{{ x.next() }}{{ x.current }}
{% set j = joiner('|') %}{{ j() }}{{ j() }}{{ j() }}
{% for m in messages %}{{ m.role }}{% endfor %}
{% set _ = messages.append({}) %}
{% for message in messages %}{% set content = message.content | trim %}{{ content }}{% endfor %}{{ content is defined }}
{% if messages[0].role == 'system' %}{% set sys = messages[0].content %}{% endif %}{{ sys is defined }}
{%- set ns = namespace(found=false) -%}{%- for m in messages -%}{%- if m.role == 'user' and not ns.found -%}{%- set ns.found = true -%}{{ m.content }}{%- endif -%}{%- endfor -%}
{{ messages | groupby('role') | map(attribute='grouper') | list }}
{% for g in messages | groupby('role') %}{{ g.grouper }}:{{ g.list | length }};{% endfor %}
{% for role, ms in messages | groupby('role') %}{{ role }}:{{ ms | length }};{% endfor %}
{{ caller() }}
{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}
{{ m() }}{% macro m() %}x{% endmacro %}
{% set x = 5 %}{% macro m(x) %}{{ x }}{% endmacro %}{{ m() }}
{% macro m(x=1, y) %}{% endmacro %}
{% macro m(x, *args) %}{% endmacro %}
{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 1, 'b': 2}) }}{{ m(1, **{'b': 3}) }}
{{ dict(**{'a': 1}) }}{{ '{}{}'.format(*[1, 2]) }}
{% for i in range(2) %}{% set q = i %}{% if q %}{{ q }}{% endif %}{% endfor %}
{% for i in [1,2,3] %}{% if loop.first %}F{% elif loop.last %}L{% else %}M{% endif %}{% endfor %}
{% for i in range(3) %}{{ i }}{{ ", " if not loop.last }}{% endfor %}
{% for i in range(3) %}{{ i }}{{ loop.nextitem | default('end') }}{% endfor %}
{% for i in [1,2] %}{% set outer = loop %}{% for j in [1,2] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}
'''.strip("\n").split("\n")

# jinja2 can, mhost refuses by name
REFUSED = r'''
{{ {'items': 5}.items }}
{{ 'abc'.encode() }}
{{ 'abc'.format_map({}) }}
{{ joiner() }}
{{ lipsum }}
{{ 'a' | attr('upper') }}
{{ [1, 2, 3] | random }}
{{ '<p>x</p>' | striptags }}
{{ 'a' | pprint }}
{{ 1 | filesizeformat }}
{{ 'a' | wordwrap }}
{{ 'a' | urlize }}
{{ {} | xmlattr }}
{{ "\ud83d" }}
{{ '\N{BULLET}' }}
{{ (5).bit_length() }}
{{ 5.real }}
{{ 1e300|int }}
{{ 12345678901234567890 }}
{% include 'x' %}
{% extends 'x' %}
{% block a %}x{% endblock %}
{% import 'x' as y %}
{% do x %}
{% autoescape true %}{{ '<' }}{% endautoescape %}
{{ range(3) | map('string') }}
'''.strip("\n").split("\n")
