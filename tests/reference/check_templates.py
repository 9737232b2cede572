#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Renders every template of the folders with `mhost render` and with jinja2, for many shapes of
conversations, and counts where they differ. What mhost refuses by name is told apart: it is no
mistake, but at most 5 % of the templates may have it.

    check_templates.py --mhost BIN [-v] DIR|FILE...      needs jinja2 3.1.6
    check_templates.py --mhost BIN --public DIR          chat/*.json of a reference set, which need Python alone
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

NAMED = "not supported"


def mhost(binary, template, request, scratch):
    scratch.write_text(json.dumps(request))
    run = subprocess.run([binary, "render", "--template", str(template), str(scratch)], capture_output=True)
    if run.returncode == 0:
        return {"rendered": run.stdout.decode()}
    lines = run.stderr.decode().splitlines()
    if run.returncode != 1 or len(lines) != 1 or run.stdout:
        raise SystemExit(f"mhost render {template}: exit {run.returncode}, {lines}")
    return {"error": lines[0]}


def differs(wanted, got):
    return wanted.get("rendered") != got.get("rendered") or ("error" in wanted) != ("error" in got)


def show(name, wanted, got):
    print(f"{name}\n  wanted {str(wanted)[:400]}\n  got    {str(got)[:400]}")


def templates_of(paths):
    for path in map(pathlib.Path, paths):
        yield from sorted(path.glob("*.jinja")) if path.is_dir() else [path]


def check_folder(args, scratch):
    import ref_template

    shapes, wrong, refused, rendered, count = ref_template.shapes(), 0, set(), 0, 0
    for template in templates_of(args.paths):
        source, count = template.read_text(encoding="utf-8"), count + 1
        for name, request in shapes:
            wanted, got = ref_template.render(source, request), mhost(args.mhost, template, request, scratch)
            rendered += "rendered" in got
            if not differs(wanted, got):
                continue
            if NAMED in got.get("error", ""):
                refused.add(template.name)
            else:
                wrong += 1
            if args.verbose or NAMED not in got.get("error", ""):
                show(f"{template.name}, {name}", wanted, got)
    print(f"# {count} templates x {len(shapes)} requests: {rendered} texts, {wrong} other than jinja2's, "
          f"{len(refused)} templates refused by name {' '.join(sorted(refused))}")
    return count > 0 and wrong == 0 and len(refused) <= count * 0.05


def check_public(args, scratch):
    wrong = count = 0
    for path in sorted((pathlib.Path(args.public) / "chat").glob("*.json")):
        data = json.loads(path.read_text())
        for case in data["cases"]:
            request = {"messages": case["messages"], **case["options"], "now": data["now"],
                       "bos_token": data["bos_token"], "eos_token": data["eos_token"]}
            got, count = mhost(args.mhost, path.parent / data["template"], request, scratch), count + 1
            if differs(case, got):
                wrong += 1
                show(f"{path.stem}, {case['name']}", case, got)
    print(f"# {count} cases, {wrong} wrong")
    return count > 0 and wrong == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mhost", required=True)
    parser.add_argument("--public")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what is refused by name too")
    parser.add_argument("paths", nargs="*")
    args = parser.parse_args()
    handle, name = tempfile.mkstemp(suffix=".json")
    os.close(handle)
    scratch = pathlib.Path(name)
    try:
        good = check_public(args, scratch) if args.public else check_folder(args, scratch)
    finally:
        scratch.unlink()
    sys.exit(0 if good else 1)


main()
