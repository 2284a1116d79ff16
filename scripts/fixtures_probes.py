"""Expected values for mmcollapse-probes, by scipy, numpy, scikit-learn and statsmodels.

    python scripts/fixtures_probes.py && cargo fmt -p mmcollapse-probes

writes crates/mmcollapse-probes/tests/expected/mod.rs, which tests/against_references.rs compares with.
Needs: pip install scipy numpy scikit-learn statsmodels. Made with scipy 1.17.1, numpy 2.4.6, scikit-learn
1.9.1, statsmodels 0.15.0.
"""

import itertools

import numpy as np
from rust_constants import floats, header, putter, write
from scipy import stats
from sklearn.metrics import accuracy_score
from sklearn.metrics.pairwise import cosine_similarity
from statsmodels.stats.multitest import multipletests

rng = np.random.default_rng(7)
lines = header("fixtures_probes.py", "scipy, numpy, scikit-learn, statsmodels")
put = putter(lines)

# Accuracies of ten seeds on 450 samples: multiples of 1/450, with ties and zeros in the differences.
ours = np.array([428, 431, 425, 430, 433, 429, 427, 432, 430, 426]) / 450
vanilla = np.array([424, 431, 427, 425, 428, 428, 426, 426, 425, 427]) / 450
put("Ten accuracies of a method.", "OURS", "&[f64]", floats(ours))
put("Ten accuracies of the reference, same seeds.", "VANILLA", "&[f64]", floats(vanilla))
put("`np.mean(OURS)`.", "MEAN", "f64", repr(float(ours.mean())))
put("`np.std(OURS, ddof=1)`.", "SD", "f64", repr(float(ours.std(ddof=1))))
for name, level, n in [("T95_10", 0.95, 10), ("T99_5", 0.99, 5), ("T95_2", 0.95, 2)]:
    x = ours[:n]
    low, high = stats.t.interval(level, n - 1, loc=x.mean(), scale=stats.sem(x))
    put(f"`stats.t.interval({level}, {n - 1}, loc=mean, scale=sem)` of the first {n}.", name, "(f64, f64)",
        f"({float(low)!r}, {float(high)!r})")
low, high = stats.t.interval(0.95, 9, loc=(ours - vanilla).mean(), scale=stats.sem(ours - vanilla))
put("The same of OURS - VANILLA.", "T95_DIFFERENCE", "(f64, f64)", f"({float(low)!r}, {float(high)!r})")


def splitmix64(seed):
    mask = (1 << 64) - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


draws = splitmix64(11)
index = np.array([[(next(draws) * 10) >> 64 for _ in range(10)] for _ in range(2000)])
low, high = np.percentile(ours[index].mean(axis=1), [2.5, 97.5])
put("`np.percentile(means, [2.5, 97.5])` of 2000 resamples drawn by splitmix64(11).", "BOOTSTRAP", "(f64, f64)",
    f"({float(low)!r}, {float(high)!r})")
scipy_boot = stats.bootstrap((ours,), np.mean, n_resamples=200_000, method="percentile", rng=1).confidence_interval
put("`scipy.stats.bootstrap(method='percentile')`, 200000 resamples.", "BOOTSTRAP_SCIPY", "(f64, f64)",
    f"({float(scipy_boot.low)!r}, {float(scipy_boot.high)!r})")


def brute_force(d):
    """Two-sided exact p over all sign patterns of the ranks of the non-zero differences."""
    d = d[d != 0]
    ranks = stats.rankdata(np.abs(d))
    observed = ranks[d > 0].sum()
    sums = np.array([np.dot(s, ranks) for s in itertools.product([0, 1], repeat=len(d))])
    return min(1.0, 2 * min((sums <= observed + 1e-9).mean(), (sums >= observed - 1e-9).mean()))


cases = []


def wilcoxon_case(name, d, exact):
    d = np.asarray(d, float)
    kept = d[d != 0]
    ranks = stats.rankdata(np.abs(kept))
    if exact:  # no ties: scipy's own exact distribution
        p = stats.wilcoxon(d, zero_method="wilcox", method="exact").pvalue
    else:  # ties: all sign patterns, by scipy's exhaustive permutation
        p = stats.wilcoxon(kept, method=stats.PermutationMethod(n_resamples=np.inf)).pvalue
    if len(kept) <= 12:
        assert abs(p - brute_force(d)) < 1e-12, (name, p, brute_force(d))
    cases.append(f"({floats(d)}, {float(ranks[kept > 0].sum())!r}, {float(ranks[kept < 0].sum())!r}, {float(p)!r})")


wilcoxon_case("all of one sign", [1, 2, 3, 4, 5], True)
wilcoxon_case("five, one against", [1, -2, 3, 4, 5], True)
wilcoxon_case("ten random", np.round(rng.normal(0.4, 1, 10), 4), True)
wilcoxon_case("forty random", np.round(rng.normal(0.5, 1, 40), 4), True)
wilcoxon_case("a zero, no ties", [0, 1, -2.5, 3, 4.25, 5, 6, 7, 8], True)
wilcoxon_case("ties", [1, 1, -1, 2, 2, 3, -3, 4, 5, 5], False)
wilcoxon_case("ties and zeros", np.round((ours - vanilla) * 450), False)
put("(differences, W+, W-, two-sided exact p): `stats.wilcoxon`, checked by counting all sign patterns.", "WILCOXON",
    "&[(&[f64], f64, f64, f64)]", "&[" + ", ".join(cases) + "]")

p = [0.04, 0.001, 0.03, 0.001953125, 0.5, 0.03, 0.9]
put("Raw p values.", "P", "&[f64]", floats(p))
put("`multipletests(P, method='holm')[1]`.", "HOLM", "&[f64]", floats(multipletests(p, method="holm")[1]))

labels, predictions = rng.integers(0, 4, 30), rng.integers(0, 4, 30)
put("Labels.", "LABELS", "&[u32]", "&" + str(labels.tolist()))
put("Predictions.", "PREDICTIONS", "&[u32]", "&" + str(predictions.tolist()))
put("`accuracy_score(LABELS, PREDICTIONS)`.", "ACCURACY", "f64", repr(float(accuracy_score(labels, predictions))))

x = rng.normal(size=(12, 5)).astype(np.float32)
x[:, 4] = x[:, 0] + x[:, 1]  # one direction less than columns
y = (x[:, :3] @ rng.normal(size=(3, 4)) + 0.3 * rng.normal(size=(12, 4))).astype(np.float32)
wide = rng.normal(size=(6, 20)).astype(np.float32)
put("[12, 5] in f32, the last column the sum of the first two.", "X", "&[f32]", floats(x))
put("[12, 4] in f32.", "Y", "&[f32]", floats(y))
put("[6, 20] in f32.", "WIDE", "&[f32]", floats(wide))


def centred(a):
    a = a.astype(np.float64)
    return a - a.mean(axis=0)


def rank_case(name, a):
    sigma = np.linalg.svd(centred(a), compute_uv=False)
    share = sigma / sigma.sum()
    share = share[share > 1e-14]
    numerical = np.linalg.matrix_rank(centred(a), tol=sigma[0] * max(a.shape) * np.finfo(np.float32).eps)
    put("`np.linalg.svd` of the centred matrix.", f"{name}_SINGULAR", "&[f64]", floats(sigma))
    put("Numerical (`np.linalg.matrix_rank`), effective, stable rank.", f"{name}_RANKS", "(usize, f64, f64)",
        f"({int(numerical)}, {float(np.exp(-(share * np.log(share)).sum()))!r}, "
        f"{float((sigma**2).sum() / sigma[0] ** 2)!r})")


rank_case("X", x)
rank_case("WIDE", wide)

kx, ky = centred(x) @ centred(x).T, centred(y) @ centred(y).T
put("Linear CKA of X and Y by traces of centred kernels.", "CKA", "f64",
    repr(float((kx * ky).sum() / np.sqrt((kx * kx).sum() * (ky * ky).sum()))))
a, b = x[:, :4].astype(np.float64), y.astype(np.float64)
put("`cosine_similarity` of the first four columns of X with Y, row by row.", "COSINES", "&[f64]",
    floats(np.diag(cosine_similarity(a, b))))
m = rng.normal(size=(7, 7))
m = m + m.T
put("A symmetric [7, 7].", "SYMMETRIC", "&[f64]", floats(m))
put("`np.linalg.eigvalsh(SYMMETRIC)[::-1]`.", "EIGENVALUES", "&[f64]", floats(np.linalg.eigvalsh(m)[::-1]))

write(lines, "expected")
