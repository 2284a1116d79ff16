"""Times training steps of this project, of PyTorch and of JAX on the CPU, and prints the ratios (`just bench`).

PyTorch as it comes (eager), with channels-last tensors and fused AdamW (tuned), and the latter under torch.compile
(compiled); JAX with the whole step under one jit and its weights donated. What is not installed is left out. All programs
stay alive and take turns: each round times every workload once with each, so that whatever else the machine does falls on
all alike. A ratio is taken within a round; medians over the rounds are printed. The share is that of the machine's rate at
a large matrix product, the fastest of all.

    python3 scripts/bench.py [--rounds N] [--seconds S] [--threads N] [--program FILE] [WORKLOAD ...]

Our side is the example `bench_cpu` of mmcollapse-nn, built first unless --program names it. MMCOLLAPSE_PYTHON names
a Python that has PyTorch or JAX; without it, the one that runs this is tried. The end is 1 where a target is missed.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

WORKLOADS = ["cnn_64", "cnn_128", "smil_32", "smil_image_32", "smil_sound_32", "mlp_128", "ebr_32"]

SCRIPTS = {"torch": "bench_pytorch.py", "jax": "bench_jax.py"}
VARIANTS = {"torch": ["eager", "tuned", "compiled"], "jax": ["jax"]}

# What has to be reached, as times the peer; `fastest` is the fastest peer of a round.
CONVOLUTIONS = {"eager": 3.0, "tuned": 2.0, "fastest": 1.0}
TARGETS = {"mlp_128": {"jax": 1.2, "fastest": 1.0}, "ebr_32": {"fastest": 1.5}}

# Settings of the allocator that the programs' workers are started with (crates/mmcollapse-run/src/runner/process.rs).
ALLOCATOR = {"MIMALLOC_PURGE_DELAY": "10000", "MIMALLOC_ALLOW_LARGE_OS_PAGES": "1"}


class Side:
    """A program that answers a line with a line of JSON."""

    def __init__(self, command, threads):
        names = ("BENCH_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | ALLOCATOR | {name: str(threads) for name in names}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.command = command

    def ask(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"bench: `{' '.join(self.command)}` ended with status {self.process.wait()} at `{request}`")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def find_python():
    """A Python, and which of PyTorch and JAX it has; the end with advice where it has neither."""
    python = os.environ.get("MMCOLLAPSE_PYTHON", sys.executable)
    if shutil.which(python) is None:
        sys.exit(f"bench: there is no `{python}`; set MMCOLLAPSE_PYTHON to a Python that has PyTorch or JAX")
    has = lambda name: subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 0
    peers = [name for name in VARIANTS if has(name)]
    if not peers:
        sys.exit(
            f"bench: `{python}` can import neither torch nor jax, which the comparison needs.\n"
            f"       Install them (`{python} -m pip install torch jax`) or set MMCOLLAPSE_PYTHON to a Python that has them.\n"
            f"       Times without the comparison: the example `bench_cpu` takes workloads as arguments."
        )
    for name in VARIANTS.keys() - peers:
        print(f"bench: `{python}` has no {name}, which is left out", file=sys.stderr)
    return python, peers


def build():
    """The path of our side, freshly built as the rest of the workspace is, so that nothing is compiled twice."""
    command = ["cargo", "build", "--release", "--workspace", "--example", "bench_cpu"]
    command += ["--message-format", "json-render-diagnostics"]
    root = pathlib.Path(__file__).resolve().parent.parent
    built = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(f"bench: `{' '.join(command)}` failed")
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    programs = [m["executable"] for m in messages if m.get("target", {}).get("name") == "bench_cpu"]
    programs = [program for program in programs if program]
    if not programs:
        sys.exit("bench: cargo built no program `bench_cpu`")
    return programs[-1]


def measure(ours, peers, workloads, rounds, seconds):
    """Seconds for each step: {(workload, variant): [one a round]}, and the work of a step in GFLOP."""
    times, work = {}, {}
    for number in range(rounds):
        for workload in ["gemm", *workloads]:
            answer = ours.ask(f"{workload} {seconds}")
            work[workload] = answer["gflop_per_step"]
            times.setdefault((workload, "ours"), []).append(answer["seconds_per_step"])
            for name, side in peers.items():
                variants = VARIANTS[name][:1] if workload == "gemm" else VARIANTS[name]
                for variant in variants:
                    request = f"{workload} {seconds}" if name == "jax" else f"{workload} {variant} {seconds}"
                    times.setdefault((workload, variant), []).append(side.ask(request)["seconds_per_step"])
        for workload in workloads:
            fastest = min(times[workload, variant][-1] for variant in variants_of(peers))
            times.setdefault((workload, "fastest"), []).append(fastest)
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return times, work


def variants_of(peers):
    return [variant for name in peers for variant in VARIANTS[name]]


def ratio(times, workload, variant):
    """How many times as fast as a peer: (median, smallest, largest) over the rounds."""
    pairs = zip(times[workload, variant], times[workload, "ours"])
    ratios = [theirs / ours for theirs, ours in pairs]
    return statistics.median(ratios), min(ratios), max(ratios)


def report(times, work, workloads, variants, threads):
    median = lambda workload, variant: statistics.median(times[workload, variant])
    rates = {of: work["gemm"] / median("gemm", of) for of in ("ours", *variants) if ("gemm", of) in times}
    names = {"ours": "here", "eager": "in PyTorch", "jax": "in JAX"}
    told = ", ".join(f"{rate:.0f} {names[of]}" for of, rate in rates.items())
    print(f"\n{threads} thread{'s' if threads > 1 else ''}; GFLOP/s of a matrix product: {told}\n")
    header = ["workload", "ms a step", *(f"× {variant}" for variant in variants), "of gemm rate", "target"]
    print("| " + " | ".join(header) + " |")
    print("|---" + "|--:" * (len(header) - 2) + "|---|")
    reached = True
    for workload in workloads:
        ratios = {variant: ratio(times, workload, variant) for variant in [*variants, "fastest"]}
        share = work[workload] / median(workload, "ours") / max(rates.values())
        wanted = TARGETS.get(workload, CONVOLUTIONS)
        missed = [f"{want} × {peer}" for peer, want in wanted.items() if peer in ratios and ratios[peer][0] < want]
        reached &= not missed
        cells = [workload, f"{1e3 * median(workload, 'ours'):.2f}"]
        cells += ["{:.2f} ({:.2f} to {:.2f})".format(*ratios[variant]) for variant in variants]
        target = f"missed: {', '.join(missed)}" if missed else "reached"
        print("| " + " | ".join([*cells, f"{100 * share:.0f} %", target]) + " |")
    return reached


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="the built example bench_cpu")
    parser.add_argument("workloads", nargs="*", default=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--threads", type=int, action="append", help="may be given several times; 1 and 2 without it")
    arguments = parser.parse_args()
    python, found = find_python()
    program = arguments.program or build()
    workloads = arguments.workloads or WORKLOADS
    reached = True
    for threads in arguments.threads or [1, 2]:
        ours = Side([program], threads)
        peers = {name: Side([python, str(pathlib.Path(__file__).with_name(SCRIPTS[name]))], threads) for name in found}
        times, work = measure(ours, peers, workloads, arguments.rounds, arguments.seconds)
        for side in (ours, *peers.values()):
            side.close()
        reached &= report(times, work, workloads, variants_of(peers), threads)
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
