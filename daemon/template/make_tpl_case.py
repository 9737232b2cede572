#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tpl_case.h: characters whose upper or title case is more than one character."""
import sys


def quoted(text):
    return '"' + "".join(f"\\x{b:02x}" for b in text.encode()) + '"'


print("/* SPDX-License-Identifier: MIT */")
print("/* tpl_case.h: characters that grow in upper case: upper, title. Made by make_tpl_case.py. */")
print("static const struct { uint32_t c; const char *upper, *title; } tpl_cases[] = {")
for c in map(chr, range(sys.maxunicode + 1)):
    if len(c.upper()) > 1 or len(c.title()) > 1:
        print(f"\t{{ 0x{ord(c):04x}, {quoted(c.upper())}, {quoted(c.title())} }},")
print("};")
