#!/usr/bin/env python3
"""Measures what a large cohort takes: disk, memory of the runner and of each worker, time.

    scripts/large_cohort.py FOLDER --patients 100000 [--program target/release/mmcollapse] [--workers 2] [--seconds 120]

Plants a cohort of that size below FOLDER, unless it is there, and runs two cells of Table 1 a worker on it: once with an
empty cache, which reads the tables and prepares the samples, and once more with what was kept. Both runs are stopped
after --seconds of training. Linux only: it reads /proc/PID/smaps_rollup. FOLDER can be deleted afterwards.
docs/large-cohorts.md has the results.
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

FIELDS = {"Rss": "rss", "Pss": "pss", "Anonymous": "own"}


def memory(process):
    """MiB of a process: resident, its share of what several map, and its own."""
    found = dict.fromkeys(FIELDS.values(), 0)
    try:
        for line in pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in FIELDS:
                found[FIELDS[name]] = int(value.split()[0]) / 1024
    except OSError:
        pass  # It has ended.
    return found


def children(process):
    try:
        return pathlib.Path(f"/proc/{process}/task/{process}/children").read_text().split() + [
            child
            for task in os.listdir(f"/proc/{process}/task")
            if task != str(process)
            for child in pathlib.Path(f"/proc/{process}/task/{task}/children").read_text().split()
        ]
    except OSError:
        return []


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def told(label, values):
    print(f"  {label}: " + ", ".join(f"{name} {value:.0f}" for name, value in values.items()), flush=True)


def run(title, command, environment, seconds):
    """Largest numbers of the runner before the first worker starts, and of all processes after."""
    start, first, last, peak = time.time(), None, {}, {}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (first is None or time.time() < first + seconds):
        workers = children(process.pid)
        if workers and first is None:
            first = time.time()
        runner = memory(process.pid)
        phase = "preparing" if first is None else "training"
        parts = {"runner": runner} | {f"worker {i + 1}": memory(worker) for i, worker in enumerate(workers)}
        parts["all"] = {"pss": sum(part["pss"] for part in parts.values())}
        for part, values in parts.items():
            known = peak.setdefault((phase, part), dict.fromkeys(values, 0))
            peak[phase, part] = {name: max(known[name], value) for name, value in values.items()}
        if workers:
            last = parts
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.wait()
    prepared = (first or time.time()) - start
    print(f"{title}: {prepared:.0f} s until the first worker started; MiB, largest:", flush=True)
    for (phase, part), values in peak.items():
        told(f"{phase}, {part}", values)
    told("at the end, runner", last.get("runner", {}))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--patients", type=int, default=100_000)
    arguments.add_argument("--program", default="target/release/mmcollapse")
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--seeds", type=int, default=1)
    arguments.add_argument("--seconds", type=int, default=120)
    given = arguments.parse_args()
    tables, cache = given.folder / "tables", given.folder / "cache"
    if not tables.exists():
        start = time.time()
        plant = [given.program, "data", "plant", str(tables), "--patients", str(given.patients)]
        subprocess.run(plant, check=True, stdout=subprocess.DEVNULL)
        print(f"planted in {time.time() - start:.0f} s", flush=True)
    print(f"tables: {size(tables):.0f} MiB", flush=True)
    environment = os.environ | {"EHR_PLANTED_DIR": str(tables.absolute()), "MMCOLLAPSE_CACHE": str(cache.absolute())}
    for title in ["empty cache", "kept samples"]:
        store = given.folder / "store"
        shutil.rmtree(store, ignore_errors=True)
        command = [given.program, "reproduce", "table1", "--dataset", "ehr-planted", "--preset", "quick"]
        command += ["--seeds", str(given.seeds), "--workers", str(given.workers)]
        command += ["--store", str(store), "--results", str(given.folder / "results")]
        run(title, command, environment, given.seconds)
        for path in sorted(cache.rglob("*")):
            if path.is_file() and path.stat().st_size > 1000:
                print(f"  {path.name}: {path.stat().st_size / 2**20:.0f} MiB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
