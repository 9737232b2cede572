# SPDX-License-Identifier: MIT
"""Text that the reference data is made of: a training corpus and tokenizer probes, all written here."""

import pathlib

NOUNS = """boat river engine letter window garden number signal bridge table worker version market
	kernel pillow harbour lantern teacher button island winter pencil machine question memory""".split()
VERBS = """carries follows opens repairs measures answers forgets collects loads paints divides
	returns watches builds""".split()
ADJECTIVES = """quiet broken yellow heavy honest narrow distant careful empty second warm strange
	small wooden""".split()
ENDINGS = [".", ".", ".", "!", "?", ";", " (again).", ", they said.", " - or not."]
CODE = [
	"for (int i = 0; i < %d; i++)\n\tsum += table[i];\n",
	"def load_%d(path):\n    with open(path) as handle:\n        return handle.read()\n",
	"if (value >= %d && !done) { return value * 2; }\n",
	"x_%d = {'key': [1, 2, 3], \"name\": None}  # comment\n",
]
FOREIGN = [
	"El r\u00edo corre hacia el mar y ma\u00f1ana ser\u00e1 otro d\u00eda.\n",
	"Die Br\u00fccke \u00fcber den Flu\u00df ist gr\u00f6\u00dfer als fr\u00fcher.\n",
	"\u0420\u0435\u043a\u0430 \u0442\u0435\u0447\u0451\u0442 \u043a \u043c\u043e\u0440\u044e.\n",
	"\u6cb3\u306f\u6d77\u3078\u6d41\u308c\u308b\u3002\u5c0f\u3055\u306a\u8239\u3002\n",
	"\u0dc0 \u05d4\u05e0\u05d4\u05e8 \u0627\u0644\u0646\u0647\u0631 \u0928\u0926\u0940 \uac15\u0e41\u0e21\u0e48\u0e19\u0e49\u0e33\n",
]


def prose():
	"""The committed English text."""
	return pathlib.Path(__file__).with_name("prose.txt").read_text(encoding="utf-8")


def sentence(rng):
	"""One grammatical, senseless sentence."""
	def pick(words):
		return words[int(rng.integers(len(words)))]

	words = ["The", pick(ADJECTIVES), pick(NOUNS), pick(VERBS), "the", pick(NOUNS)]
	if rng.random() < 0.5:
		words += [pick(["under", "before", "near", "without"]), "a", pick(ADJECTIVES), pick(NOUNS)]
	if rng.random() < 0.2:
		words.insert(4, "all %d of" % rng.integers(2, 4000))
	if rng.random() < 0.2:
		words.insert(1, pick(["don't", "we'll", "It's", "they're", "I'VE"]))
	return " ".join(words) + pick(ENDINGS)


def corpus(rng, lines=900):
	"""Lines to train a tokenizer on: prose, sentences, code, other scripts."""
	out = prose().splitlines(keepends=True)
	for i in range(lines):
		out.append(sentence(rng) + ("\n" if i % 3 else "  "))
		if i % 7 == 0:
			out.append(CODE[i // 7 % len(CODE)] % rng.integers(1000))
		if i % 11 == 0:
			out.append(FOREIGN[i // 11 % len(FOREIGN)])
	return out


PROBES = [
	"", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\n \n\n  \n", "a", " a", "  a", "a ", "a  b",
	"Hello, world!", "hello   world", "The ferry left the harbour.", "THE FERRY", "theferry",
	"It's what we'll say: don't, I'VE, they'RE, can'T, y'all'd", "'s 's't 're", "\u2019s it\u2019s",
	"0", "12", "123", "1234567890", "3.14159", "-1e-10", "1,000,000", "a1b22c333d4444", "v1.2.3-rc4",
	" 2024-05-06 07:08:09", "\u0661\u0662\u0663 \u2163 \u00bd \u00b2 \u2460 \u4e03", "x\u00b2+y\u00b2",
	"if (a[i] != b->c) { return *p++ << 3; }", "#include <stdio.h>\n\nint main(void)\n{\n\treturn 0;\n}\n",
	"def f(x):\n    if x:\n        return  x\n\n\n    return None", "a_b __init__ camelCase HTTPServer",
	"{\"key\": [1, 2.5, null, true]}", "https://example.org/a?b=c&d=%20#e", "<div class='x'>&amp;</div>",
	"tab\tin\tthe\tmiddle", "trailing spaces   ", "   leading", "line one\nline two\r\nline three\rfour",
	"a\n\n\nb", "a \n b", "a\t\n", "\u00a0nbsp\u00a0\u00a0two", "\u2003em\u2003space", "\u3000wide",
	"\u200bzero\u200bwidth\u200d", "\ufeffmark", "\u0085next\u2028line\u2029para", "\x0b\x0c\x1c",
	"\x01\x02\x7f\x80\x9f", "caf\u00e9 cafe\u0301 \u212b \u00c5 A\u030a", "na\u00efve fa\u00e7ade \u00dcber stra\u00dfe",
	"\u0420\u0435\u043a\u0430 \u0442\u0435\u0447\u0451\u0442", "\u6cb3\u306f\u6d77\u3078\u6d41\u308c\u308b\u3002",
	"\uac15\uc740 \ud750\ub978\ub2e4", "\u0627\u0644\u0646\u0647\u0631 \u064a\u062c\u0631\u064a", "\u05d4\u05e0\u05d4\u05e8",
	"\u0928\u0926\u0940 \u092c\u0939\u0924\u0940 \u0939\u0948", "\u0e41\u0e21\u0e48\u0e19\u0e49\u0e33", "\u03a3\u03ac\u03c2 \u0130i\u0131I \u01c5",
	"\U0001f600", "\U0001f600\U0001f680 go", "\U0001f469\u200d\U0001f4bb\U0001f3fd", "\U0001f1f3\U0001f1f4", "\u2764\ufe0f",
	"\U00020000\U0010ffff\ue000", "\ufffd\ufffe", "a\u0300\u0301\u0302\u0303b", "\u202eright\u202c", "$\u20ac\u00a3\u00a5\u20b9",
	"\u2026\u2014\u201cquoted\u201d\u00ab\u00bb", "!!!???...", "a,b;c:d", "(((", "~`^|\\", "= == === !=",
	"x" * 70, "na" * 40, "." * 33, "\u4e03" * 20, " " * 40 + "x", "\n" * 17 + "x", "ab " * 30,
]


def random_text(rng, length):
	"""Characters of many blocks, in runs, without surrogates."""
	blocks = [(0x20, 0x7e), (0x20, 0x7e), (0x61, 0x7a), (0x30, 0x39), (0x09, 0x0d), (0x20, 0x20), (0xa0, 0x17f),
		(0x370, 0x3ff), (0x400, 0x45f), (0x900, 0x97f), (0x2000, 0x206f), (0x3040, 0x30ff),
		(0x4e00, 0x4eff), (0xac00, 0xac80), (0x1f300, 0x1f64f), (0x300, 0x36f), (0x2150, 0x218b)]
	out = []
	while len(out) < length:
		low, high = blocks[int(rng.integers(len(blocks)))]
		out += [chr(int(c)) for c in rng.integers(low, high + 1, rng.integers(1, 7))]
	return "".join(out[:length])


def special_probes(names):
	"""Text in which the added tokens stand in the middle of things."""
	out = []
	for i, name in enumerate(names):
		other = names[(i + 1) % len(names)]
		out += [name, "a%sb" % name, " %s %s\n" % (name, other), name + other + name]
		out += [name[:-1], name[:1] + name, name.upper(), "x  %s  y" % name]
	return out
