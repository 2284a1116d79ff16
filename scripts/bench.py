"""Times training steps of this project and of PyTorch on the CPU, and prints the ratios (`just bench`).

Both programs stay alive and take turns: each round times every workload once on each side, so that whatever else
the machine does falls on all alike. A ratio is taken within a round; medians over the rounds are printed. The
share is that of the machine's rate at a large matrix product, the faster of the two libraries'.

    python3 scripts/bench.py [--rounds N] [--seconds S] [--threads N] [--program FILE] [WORKLOAD ...]

Our side is the example `bench_cpu` of mmcollapse-nn, built first unless --program names it. MMCOLLAPSE_PYTHON names
a Python that has PyTorch; without it, the one that runs this is tried.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

WORKLOADS = ["cnn_64", "cnn_128", "smil_32", "smil_image_32", "smil_sound_32", "mlp_128"]

# What has to be reached, as times PyTorch: (eager, channels-last and fused AdamW).
TARGETS = {"cnn_64": (2.0, 1.3), "cnn_128": (2.0, 1.3), "smil_32": (2.0, 1.3), "mlp_128": (1.0, None)}


class Side:
    """A program that answers a line with a line of JSON."""

    def __init__(self, command, threads):
        names = ("BENCH_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | {name: str(threads) for name in names}
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
    """A Python that has PyTorch, or the end with advice."""
    python = os.environ.get("MMCOLLAPSE_PYTHON", sys.executable)
    if shutil.which(python) is None:
        sys.exit(f"bench: there is no `{python}`; set MMCOLLAPSE_PYTHON to a Python that has PyTorch")
    found = subprocess.run([python, "-c", "import torch"], capture_output=True, text=True)
    if found.returncode != 0:
        sys.exit(
            f"bench: `{python}` cannot import torch, which the comparison needs.\n"
            f"       Install it (`{python} -m pip install torch`) or set MMCOLLAPSE_PYTHON to a Python that has it.\n"
            f"       Times without the comparison: the example `bench_cpu` takes workloads as arguments."
        )
    return python


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


def measure(ours, torch, workloads, rounds, seconds):
    """Seconds for each step: {(workload, variant): [one a round]}, and the work of a step in GFLOP."""
    times, work = {}, {}
    for number in range(rounds):
        for workload in ["gemm", *workloads]:
            answer = ours.ask(f"{workload} {seconds}")
            work[workload] = answer["gflop_per_step"]
            times.setdefault((workload, "ours"), []).append(answer["seconds_per_step"])
            for variant in ["eager"] if workload == "gemm" else ["eager", "tuned"]:
                answer = torch.ask(f"{workload} {variant} {seconds}")
                times.setdefault((workload, variant), []).append(answer["seconds_per_step"])
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return times, work


def ratio(times, workload, variant):
    """How many times as fast as PyTorch: (median, smallest, largest) over the rounds."""
    pairs = zip(times[workload, variant], times[workload, "ours"])
    ratios = [theirs / ours for theirs, ours in pairs]
    return statistics.median(ratios), min(ratios), max(ratios)


def report(times, work, workloads, threads):
    median = lambda workload, variant: statistics.median(times[workload, variant])
    rates = {side: work["gemm"] / median("gemm", side) for side in ("ours", "eager")}
    peak = max(rates.values())
    print(f"threads {threads}; matrix product: {rates['ours']:.0f} GFLOP/s here, {rates['eager']:.0f} in PyTorch")
    header = ("workload", "ms a step", "eager ms", "tuned ms", "x eager", "x tuned", "of gemm rate", "target")
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    reached = True
    for workload in workloads:
        seconds = [median(workload, variant) for variant in ("ours", "eager", "tuned")]
        ratios = [ratio(times, workload, variant) for variant in ("eager", "tuned")]
        share = work[workload] / seconds[0] / peak
        wanted = TARGETS.get(workload, ())
        met = [found[0] >= want for found, want in zip(ratios, wanted) if want is not None]
        reached &= all(met)
        target = ", ".join(f">= {want}" for want in wanted if want is not None)
        target += f" {'reached' if all(met) else 'MISSED'}" if target else ""
        cells = [workload, *(f"{1e3 * s:.2f}" for s in seconds)]
        cells += [f"{mid:.2f} ({low:.2f} to {high:.2f})" for mid, low, high in ratios]
        print("| " + " | ".join([*cells, f"{100 * share:.0f} %", target or "none"]) + " |")
    return reached


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="the built example bench_cpu")
    parser.add_argument("workloads", nargs="*", default=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    python = find_python()
    script = pathlib.Path(__file__).with_name("bench_pytorch.py")
    ours = Side([arguments.program or build()], arguments.threads)
    torch = Side([python, str(script)], arguments.threads)
    workloads = arguments.workloads or WORKLOADS
    times, work = measure(ours, torch, workloads, arguments.rounds, arguments.seconds)
    ours.close()
    torch.close()
    reached = report(times, work, workloads, arguments.threads)
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
