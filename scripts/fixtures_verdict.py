"""Expected values for the verdicts of mmcollapse-probes, by scipy, numpy and statsmodels.

    python scripts/fixtures_verdict.py && cargo fmt -p mmcollapse-probes

writes crates/mmcollapse-probes/tests/expected_verdict/mod.rs, which tests/verdict.rs compares with.
Needs: pip install scipy numpy statsmodels. Made with scipy 1.17.1, numpy 2.4.6, statsmodels 0.15.0.
"""

import math

import numpy as np
from rust_constants import floats, header, putter, write
from scipy import optimize, stats
from statsmodels.stats.power import TTestPower

lines = header("fixtures_verdict.py", "scipy, numpy, statsmodels")
put = putter(lines)

differences = np.array([0.021, -0.004, 0.013, 0.017, 0.002, 0.009, -0.011, 0.026, 0.008, 0.005])
put("Differences of ten seeds.", "DIFFERENCES", "&[f64]", floats(differences))


def interval(level, q):
    """mean +- t s sqrt(1/n + q); with q, never narrower than 1.96 s sqrt(q)."""
    n, s = len(differences), differences.std(ddof=1)
    half = max(stats.t.ppf(0.5 + level / 2, n - 1) * s * math.sqrt(1 / n + q), 1.96 * s * math.sqrt(q))
    return float(differences.mean() - half), float(differences.mean() + half)


cases = [(level, q) for level in (0.95, 1 - 0.05 / 4, 0.9, 0.5) for q in (0.0, 2 / 7, 0.5)]
put("(level, q, low, high): `stats.t.ppf`.", "INTERVALS", "&[(f64, f64, f64, f64)]",
    "&[" + ", ".join(f"({level!r}, {q!r}, {low!r}, {high!r})" for level, q in cases for low, high in [interval(level, q)]) + "]")

cases = [(t, freedom, shift) for t in (-3.0, -0.5, 0.0, 0.7, 2.26, 9.0) for freedom in (1, 4, 9, 39, 999)
         for shift in (-2.0, 0.0, 0.3, 2.8, 12.0) if t >= 0 or shift < 12]  # scipy has nan there
put("(t, degrees of freedom, noncentrality, cdf): `stats.nct.cdf`.", "NONCENTRAL", "&[(f64, f64, f64, f64)]",
    "&[" + ", ".join(f"({t!r}, {float(f)!r}, {s!r}, {float(stats.nct.cdf(t, f, s) if s else stats.t.cdf(t, f))!r})"
                     for t, f, s in cases) + "]")

# statsmodels' own formula, without overlap.
cases = [(effect, n, alpha, sides) for effect in (0.2, 0.5, 1.0, 2.0) for n in (5, 10, 40) for alpha in (0.05, 0.0125)
         for sides in ("two-sided", "larger")]
put("(effect / sd, n, alpha, whether two-sided, power): `TTestPower().power`.", "POWERS", "&[(f64, usize, f64, bool, f64)]",
    "&[" + ", ".join(
        f"({e!r}, {n}, {a!r}, {str(s == 'two-sided').lower()}, {float(TTestPower().power(e, n, a, alternative=s))!r})"
        for e, n, a, s in cases) + "]")
needed = []
for effect in (0.1, 0.25, 0.5, 1.0, 1.5, 3.0):
    for alpha in (0.05, 0.0125):
        n = TTestPower().solve_power(effect_size=effect, alpha=alpha, power=0.8)
        needed.append((effect, 0.0, alpha, math.ceil(float(np.ravel(n)[0]) - 1e-9)))


def overlapping(effect, q, alpha, n):
    t, shift = stats.t.ppf(1 - alpha / 2, n - 1), effect / math.sqrt(1 / n + q)
    return stats.nct.sf(t, n - 1, shift) + stats.nct.cdf(-t, n - 1, shift)


# With overlap: scipy's noncentral t, solved for n.
for effect, q, alpha in [(2.0, 2 / 7, 0.05), (1.6, 2 / 7, 0.05), (2.5, 0.5, 0.0125)]:
    n = optimize.brentq(lambda n: overlapping(effect, q, alpha, n) - 0.8, 2, 1e5)
    needed.append((effect, q, alpha, math.ceil(n)))
put("(effect / sd, q, alpha, n of 80 % power): `TTestPower().solve_power`, with q `stats.nct` solved by `brentq`.", "NEEDED",
    "&[(f64, f64, f64, usize)]", "&[" + ", ".join(f"({e!r}, {q!r}, {a!r}, {n})" for e, q, a, n in needed) + "]")

levels, values = np.array([2.0, 3.0, 4.0, 6.0]), np.log([1.15, 2.68, 3.51, 4.70])
put("Levels of a trend.", "LEVELS", "&[f64]", floats(levels))
put("Values of a trend.", "VALUES", "&[f64]", floats(values))
hinge = np.column_stack([np.ones_like(levels), levels, np.maximum(0, np.array(levels) - 3)])
put("`np.linalg.lstsq` of VALUES on 1, LEVELS and max(0, LEVELS - 3), the last coefficient.", "KINK", "f64",
    repr(float(np.linalg.lstsq(hinge, values, rcond=None)[0][2])))
put("`np.polyfit(LEVELS, VALUES, 1)[0]`.", "SLOPE", "f64", repr(float(np.polyfit(levels, values, 1)[0])))

write(lines, "expected_verdict")
