#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mhost beside llama.cpp in tokens per second of CPU time, one thread each: for machines that are never quiet.

    peer_cpu.py [--build DIR] [--isa avx512,avx2] [--turns 5] FILE.gguf...

Turns as in `mhost bench --peer`: a prompt of 512 and 128 tokens of decode. Other work on the machine
stretches the wall clock of both, but hardly their CPU time, when no thread waits for another one.
What two threads share, above all the speed of memory, this does not show.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parents[1]
PROMPT, OUTPUT, START_S = 512, 128, 60
# llama-bench reads its clocks here: all of them tell the process's CPU time.
SHIM = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *ts)
{
	(void)id;
	return (int)syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, ts);
}
"""


def output(argv, **more):
	return subprocess.run(argv, check=True, stdout=subprocess.PIPE, **more).stdout.decode()


class Llama:
	def __init__(self, folder):
		self.home = output(["sh", str(HERE / "bench_peer_build.sh")]).strip()
		self.shim = str(folder / "cputime.so")
		subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-xc", "-o", self.shim, "-"], input=SHIM.encode(), check=True)

	def rates(self, file, isa):
		"""(prompt, decode) in tokens per CPU second."""
		paths = [self.home + "/avx2/bin"] * (isa == "avx2") + [self.home + "/native/bin"]
		env = dict(os.environ, LD_PRELOAD=self.shim, LD_LIBRARY_PATH=":".join(paths))
		rows = json.loads(output([self.home + "/native/bin/llama-bench", "-m", file, "-t", "1", "-p", str(PROMPT),
			"-n", str(OUTPUT), "-r", "1", "-o", "json"], env=env, stderr=subprocess.DEVNULL))
		rate = {bool(row["n_gen"]): row["avg_ts"] for row in rows}
		return rate[False], rate[True]


class Host:
	"""A daemon with one worker of one thread."""

	def __init__(self, build, folder, file, isa):
		self.store, self.mhost = folder / ("store-" + isa), [str(build / "mhost"), "--socket", str(folder / ("s-" + isa))]
		self.call("import", "peer@1.0.0", file, "--store", str(self.store))
		self.daemon = subprocess.Popen([str(build / "mhostd"), "--store", str(self.store), "--socket", self.mhost[2],
			"--threads", "1", "--workers", "1", "--isa", isa, "--log-level", "error"])
		try:
			self.worker = self.wait()
			self.call("activate", "peer@1.0.0")
		except BaseException:
			self.stop()
			raise

	def call(self, *words):
		return output(self.mhost + list(words))

	def wait(self):
		"""The ready worker's pid."""
		until = time.monotonic() + START_S
		while time.monotonic() < until and self.daemon.poll() is None:
			done = subprocess.run(self.mhost + ["workers", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
			rows = json.loads(done.stdout) if done.returncode == 0 else []
			if rows and rows[0]["state"] == "ready":
				return rows[0]["pid"]
			time.sleep(0.05)
		sys.exit("mhostd did not start")

	def cpu_s(self):
		tasks = pathlib.Path("/proc/%d/task" % self.worker).iterdir()
		return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

	def cost(self, tokens, count):
		"""CPU seconds of one request. A prompt of noise, so that no earlier one is found again."""
		ids = ",".join(str(random.randrange(5, 30000)) for _ in range(tokens))
		before = self.cpu_s()
		self.call("run", "peer", "--tokens", ids, "-n", str(count), "--temperature", "0", "--ignore-eos",
			"--no-speculate", "--json")
		time.sleep(0.05)	# it spins a little before it sleeps, each time
		return self.cpu_s() - before

	def rates(self):
		self.cost(PROMPT, 1)
		prompt = PROMPT / self.cost(PROMPT, 1)
		return prompt, OUTPUT / (self.cost(1, OUTPUT + 1) - self.cost(1, 1))

	def stop(self):
		self.daemon.terminate()
		try:
			self.daemon.wait(20)
		except subprocess.TimeoutExpired:
			self.daemon.kill()
			self.daemon.wait()
		shutil.rmtree(self.store, ignore_errors=True)


def tell(file, isa, ours, theirs):
	name = pathlib.Path(file).name.removesuffix(".gguf")
	for k, what in ((1, "decode"), (0, "prompt of %d" % PROMPT)):
		ratios = [a[k] / b[k] for a, b in zip(ours, theirs)]
		print("%-30s %-8s %-16s %9.4g %9.4g  %5.2f  %.2f..%.2f  %d" % (name, isa, what, statistics.median(a[k] for a in ours),
			statistics.median(b[k] for b in theirs), statistics.median(ratios), min(ratios), max(ratios), len(ratios)), flush=True)


def compare(opt, folder, llama, file):
	hosts = {}
	try:
		for isa in opt.isa.split(","):
			hosts[isa] = Host(opt.build, folder, file, isa)
		turns = [{isa: (host.rates(), llama.rates(file, isa)) for isa, host in hosts.items()} for _ in range(opt.turns)]
	finally:
		for host in hosts.values():
			host.stop()
	for isa in hosts:
		tell(file, isa, [turn[isa][0] for turn in turns], [turn[isa][1] for turn in turns])


def main():
	args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	args.add_argument("--build", type=pathlib.Path, default=HERE.parent / "build")
	args.add_argument("--isa", default="avx512,avx2")
	args.add_argument("--turns", type=int, default=5)
	args.add_argument("files", nargs="+", metavar="FILE")
	opt = args.parse_args()
	with tempfile.TemporaryDirectory(prefix="mhost-peer-cpu-") as name:
		folder = pathlib.Path(name)
		llama = Llama(folder)
		for file in opt.files:
			compare(opt, folder, llama, file)


if __name__ == "__main__":
	main()
