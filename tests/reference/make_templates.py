#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Writes data/templates.json: small templates and requests with what jinja2 makes of them, in the
environment that transformers gives chat templates. For tests/unit/template_test.c.

    python make_templates.py       # needs jinja2 3.1.6, nothing else
"""
import json
import pathlib

import ref_template
from ref_template_cases import EXPRESSIONS, REFUSED, STATEMENTS

HERE = pathlib.Path(__file__).parent
REQUEST = {"messages": [{"role": "system", "content": " S "}, {"role": "user", "content": "Hi <b>"},
                        {"role": "assistant", "content": "yo"}],
           "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", "now": ref_template.NOW}


def small():
    rows = [STATEMENTS[i:i + 3] for i in range(len(STATEMENTS) - 2)]
    for source in ["{{ " + text + " }}" for text in EXPRESSIONS] + STATEMENTS + ["\n".join(row) for row in rows]:
        yield {"template": source, **ref_template.render(source, REQUEST)}


def chats():
    for path in sorted((HERE / "templates").glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        results = [ref_template.render(source, request) for _, request in ref_template.shapes()]
        yield {"name": path.stem, "template": source, "results": results}


def main():
    data = {"request": REQUEST, "small": list(small()), "refused": REFUSED,
            "requests": [{"name": name, **request} for name, request in ref_template.shapes()], "chats": list(chats())}
    for case in data["small"]:
        if "rendered" in case and " at 0x" in case["rendered"]:
            raise SystemExit(f"an address in the result of {case['template']}")
    out = HERE / "data" / "templates.json"
    out.write_text(json.dumps(data, ensure_ascii=True, indent=0) + "\n")
    good = sum("rendered" in case for case in data["small"])
    print(f"{out.name}: {len(data['small'])} small templates, {good} of them render; "
          f"{len(data['chats'])} chat templates x {len(data['requests'])} requests")


main()
