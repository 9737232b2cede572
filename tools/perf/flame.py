# SPDX-License-Identifier: MIT
# flame.py: stacks of `perf script -F tid,ip,sym` on standard input to an SVG flame graph.
# Exit 1: no stacks.
#   flame.py TITLE [--folded]      --folded: "frame;frame;frame COUNT" lines instead
import sys
from html import escape

WIDTH, ROW, FONT = 1200, 17, 11


def fold(lines):
    """Counts by stack, outermost frame first; the thread is the outermost."""
    counts, thread, frames = {}, None, []

    def close():
        if thread is not None and frames:
            stack = ("thread " + thread,) + tuple(reversed(frames))
            counts[stack] = counts.get(stack, 0) + 1

    for line in lines:
        words = line.split()
        if not words:
            close()
            thread, frames = None, []
        elif thread is None:
            thread = words[0]
        else:
            frames.append(" ".join(words[1:]) or "[unknown]")
    close()
    return counts


def tree(counts):
    root = {"count": 0, "below": {}}
    for stack, count in counts.items():
        node = root
        node["count"] += count
        for frame in stack:
            node = node["below"].setdefault(frame, {"count": 0, "below": {}})
            node["count"] += count
    return root


def depth(node):
    return 1 + max((depth(n) for n in node["below"].values()), default=0)


def draw(node, name, x, level, scale, total, height, out):
    width = node["count"] * scale
    if width < 0.3:
        return
    y = height - (level + 1) * ROW
    label = escape("%s: %.1f %%" % (name, 100 * node["count"] / total))
    colour = "hsl(%d,70%%,65%%)" % (20 + sum(map(ord, name)) % 40)
    out.append('<g><title>%s</title><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>'
               % (label, x, y, max(width - 0.5, 0.3), ROW - 1, colour))
    letters = int(width / (FONT * 0.6))
    if letters > 3:
        out.append('<text x="%.1f" y="%d">%s</text>' % (x + 2, y + 12, escape(name[:letters])))
    out.append("</g>")
    for below in sorted(node["below"]):
        draw(node["below"][below], below, x, level + 1, scale, total, height, out)
        x += node["below"][below]["count"] * scale


def svg(counts, title):
    root = tree(counts)
    height = (depth(root) + 2) * ROW
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="monospace" '
           'font-size="%d">' % (WIDTH, height, FONT),
           '<rect width="100%" height="100%" fill="white"/>']
    out.append('<text x="4" y="13">%s, %d samples</text>' % (escape(title), root["count"]))
    draw(root, "all", 0, 0, WIDTH / root["count"], root["count"], height, out)
    return "\n".join(out + ["</svg>", ""])


def main():
    counts = fold(sys.stdin)
    if not counts:
        return 1
    if "--folded" in sys.argv:
        for stack in sorted(counts):
            print(";".join(stack), counts[stack])
    else:
        sys.stdout.write(svg(counts, sys.argv[1] if len(sys.argv) > 1 else ""))
    return 0


sys.exit(main())
