"""What the programs beside ours in `just bench` share: how a step is timed, and how requests are answered."""

import json
import statistics
import sys
import time

WARM_UP = 3
GEMM = 1024  # rows and columns of the matrix product that measures the machine's rate


def timed(step, seconds):
    """Calls `step` for about so long: how often, and the median time of a call."""
    for _ in range(WARM_UP):
        step()
    start, times = time.perf_counter(), []
    while len(times) < 5 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    return {"steps": len(times), "seconds_per_step": statistics.median(times)}


def answer(make, told):
    """Answers each line `WHAT.. SECONDS` on standard input, or each argument `WHAT:..` for two seconds, with a line of JSON.

    `make(*what)` gives the step, which is made once, as it may be compiled. `told(*what)` says of it what else is printed.
    """
    steps = {}
    for line in [f"{pair.replace(':', ' ')} 2" for pair in sys.argv[1:]] or sys.stdin:
        *what, seconds = line.split()
        if tuple(what) not in steps:
            steps[tuple(what)] = make(*what)
        print(json.dumps(told(*what) | timed(steps[tuple(what)], float(seconds))), flush=True)
