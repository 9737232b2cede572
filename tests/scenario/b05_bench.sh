#!/bin/sh
# SPDX-License-Identifier: MIT
# `mhost bench --peer` and `--sweep`, on a small random model and with stand-ins for llama.cpp's programs.
. "$(dirname "$0")/../lib/host.sh"
export MHOST_CACHE=$dir/cache TMPDIR=$dir
peer=$MHOST_CACHE/llama.cpp-0.3.36
mkdir -p "$peer/native/bin"
touch "$peer/built"

# The same speed always: half of it with the AVX2 libraries in front.
cat >"$peer/native/bin/llama-bench" <<'END'
#!/bin/sh
case $LD_LIBRARY_PATH in *avx2*) half=1 ;; *) half=2 ;; esac
echo '[{"n_prompt": 512, "n_gen": 0, "avg_ts": '$((half * 200))'}, {"n_prompt": 0, "n_gen": 128, "avg_ts": '$((half * 10))'}]'
END
# Eight tokens a request, one event each; the prompts are kept. Its arguments must be those of a server for us.
cat >"$peer/native/bin/llama-server" <<'END'
#!/usr/bin/env python3
import http.server, json, os, sys
args = sys.argv[1:]
port = int(args[args.index("--port") + 1])
assert args[args.index("--host") + 1] == "127.0.0.1" and args[args.index("-np") + 1] == "16"
seen = open(os.environ["PROMPTS"], "a")
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        rq = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert rq["stream"] and not rq["cache_prompt"] and rq["ignore_eos"]
        seen.write(json.dumps(rq["prompt"]) + "\n")
        seen.flush()
        self.send_response(200)
        self.end_headers()
        for i in range(1, rq["n_predict"] + 1):
            self.wfile.write(b'data: {"content":"x","tokens_predicted":%d}\n\n' % i)
http.server.ThreadingHTTPServer.request_queue_size = 64
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
END
chmod +x "$peer"/native/bin/*
export PROMPTS=$dir/prompts

python3 "$here/tools/bench_peer_random.py" "$dir/small.gguf" --layers 1 --width 256 --ffn 256 --vocab 300
"$MHOST" bench --peer "$dir/small.gguf" --isa avx2,generic --repeat 1 --seconds 1 --threads 1 --json >"$dir/out"
row() { json "[r for r in o['files'][0]['rows'] if r['isa'] == '$1' and r['what'] == '$2'][0]$3" <"$dir/out"; }
best=generic
if grep -qw avx2 /proc/cpuinfo; then
	best=avx2
	eq "llama.cpp, AVX2 alone" "$(row avx2 decode '["llama_cpp"]["p50"]') $(row avx2 "prompt of 512" '["llama_cpp"]["p50"]')" "10.0 200.0"
fi
eq "llama.cpp, native" "$(row generic decode '["llama_cpp"]["p50"]') $(row generic "prompt of 512" '["llama_cpp"]["p50"]')" "20.0 400.0"
eq "ratio" "$(json 'all(abs(r["ratio"]["p50"] * r["llama_cpp"]["p50"] / r["mhost"]["p50"] - 1) < 1e-3 for r in o["files"][0]["rows"])' <"$dir/out")" True
eq "streams" "$(row $best "16 streams" '["mhost"]["p50"] > 0') $(row $best "16 streams" '["llama_cpp"]["p50"] > 0')" "True True"
eq "first token" "$(row $best "first token p95" '["llama_cpp"]["p50"] > 0')" True
eq "prompts of the peer differ" "$(sort "$PROMPTS" | uniq -d | wc -l) $(head -n 1 "$PROMPTS" | json 'len(o)')" "0 64"

"$MHOST" bench --sweep threads,latency "$here/tools/tiny/model" --repeat 1 --svg "$dir/svg" --json >"$dir/out"
eq "threads" "$(json '[t["threads"] for t in o["threads"]][0], all(t["decode_tokens_per_s"]["p50"] > 0 for t in o["threads"])' <"$dir/out")" "(1, True)"
eq "latency" "$(json '[o["latency"][k]["n"] for k in ("load_ms", "flip_idle_us", "flip_loaded_us")]' <"$dir/out")" "[40, 400, 400]"
for plot in threads threads-prompt load flip; do
	python3 -c 'import sys, xml.dom.minidom as x; assert x.parse(sys.argv[1]).getElementsByTagName("path")' \
		"$dir/svg/$plot.svg" || fail "$plot.svg is no drawing"
done

# Refusals: one line, nothing left behind.
refused() {
	if "$MHOST" bench "$@" >/dev/null 2>"$dir/err"; then fail "was not refused: $*"; fi
	grep -q "^mhost: bench: " "$dir/err" || fail "no reason for: $*: $(cat "$dir/err")"
}
refused --peer "$dir/missing.gguf"
refused --peer "$here/tools/tiny/model"
refused --peer --only load
refused --sweep stream
refused --sweep streams --peer
refused --threads 2
refused --sweep threads "$dir/missing.gguf"
rm "$peer/native/bin/llama-bench"
refused --peer "$dir/small.gguf" --repeat 1
gone() { ! ls -d "$dir"/mhost-bench.* 2>/dev/null; }
wait_for 30 gone
