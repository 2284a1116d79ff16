"""Expected values for the measures of binary outcomes, collinearity and linear probes of mmcollapse-probes, by scikit-learn and
numpy.

    python scripts/fixtures_classification.py && cargo fmt -p mmcollapse-probes

writes crates/mmcollapse-probes/tests/expected_classification/mod.rs, which tests/classification.rs, tests/collinearity.rs
and tests/linear_probe.rs compare with. DeLong's variance is computed here by its definition, over all pairs; variance
inflation by one np.linalg.lstsq a column. Needs: pip install scipy numpy scikit-learn. Made with scipy 1.17.1, numpy
2.4.6, scikit-learn 1.9.1.
"""


import numpy as np
from rust_constants import floats, number, write
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(17)
lines = [
    "//! Written by scripts/fixtures_classification.py: expected values by scikit-learn, scipy and numpy.",
    "#![allow(clippy::approx_constant, clippy::excessive_precision, clippy::type_complexity, clippy::unreadable_literal)]",
    "#![allow(dead_code, reason = \"three test files share it, and none uses all\")]",
    "",
]


def option(text):
    return "None" if text is None else f"Some({text})"


def placements(y, s):
    """Kernel of all pairs, [positives, negatives]: its row means are V10, its column means V01 (DeLong 1988)."""
    difference = s[y == 1][:, None] - s[y == 0][None, :]
    kernel = (difference > 0) + 0.5 * (difference == 0)
    return kernel.mean(axis=1), kernel.mean(axis=0)


def delong(y, *scores):
    """AUROCs and their covariance matrix."""
    v10, v01 = zip(*(placements(y, s) for s in scores))
    covariance = np.atleast_2d(np.cov(v10)) / (y == 1).sum() + np.atleast_2d(np.cov(v01)) / (y == 0).sum()
    return np.array([v.mean() for v in v10]), covariance


def auprc(y, s):
    precision, recall, _ = metrics.precision_recall_curve(y, s)
    return metrics.auc(recall, precision)


def calibration(y, s, bins):
    """(samples, mean score, share of positives) of the bins that hold any, by calibration_curve and its edges."""
    share, mean = calibration_curve(y, s, n_bins=bins, strategy="uniform")
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], s), minlength=bins)
    return list(zip(counts[counts > 0], mean, share, strict=True))


def calibration_error(y, s, bins):
    return sum(n * abs(mean - share) for n, mean, share in calibration(y, s, bins)) / len(y)


lines += [
    "/// A set of binary outcomes and its measures.",
    "pub struct Case {",
    "    pub name: &'static str,",
    "    pub scores: &'static [f64],",
    "    /// 1, 0 or, for unknown, -1.",
    "    pub labels: &'static [i8],",
    "    /// `roc_auc_score`.",
    "    pub auroc: f64,",
    "    /// `auc` of `precision_recall_curve`.",
    "    pub auprc: f64,",
    "    /// `average_precision_score`.",
    "    pub average_precision: f64,",
    "    /// DeLong's variance over all pairs; none with one sample in a class.",
    "    pub variance: Option<f64>,",
    "    /// None for scores that are no probabilities.",
    "    pub probability: Option<Probability>,",
    "}",
    "",
    "/// Measures of scores as probabilities.",
    "pub struct Probability {",
    "    /// `brier_score_loss`.",
    "    pub brier: f64,",
    "    /// `log_loss`.",
    "    pub log_loss: f64,",
    "    /// By number of bins: the error, and (samples, mean score, share of positives) of `calibration_curve`.",
    "    pub calibration: &'static [(usize, f64, &'static [(u64, f64, f64)])],",
    "}",
    "",
]
cases = []


def case(name, scores, labels):
    scores, labels = np.asarray(scores, float), np.asarray(labels, int)
    s, y = scores[labels >= 0], labels[labels >= 0]
    both = min((y == 1).sum(), (y == 0).sum()) > 1
    probability = None
    if s.min() >= 0 and s.max() <= 1:
        table = []
        for bins in (1, 5, 10, 15, 100):
            rows = ", ".join(f"({n}, {number(mean)}, {number(share)})" for n, mean, share in calibration(y, s, bins))
            table.append(f"({bins}, {number(calibration_error(y, s, bins))}, &[{rows}])")
        probability = (
            f"Probability {{ brier: {number(metrics.brier_score_loss(y, s))}, "
            f"log_loss: {number(metrics.log_loss(y, s))}, calibration: &[{', '.join(table)}] }}"
        )
    cases.append(
        f'Case {{ name: "{name}", scores: {floats(scores)}, labels: &{labels.tolist()}, '
        f"auroc: {number(metrics.roc_auc_score(y, s))}, auprc: {number(auprc(y, s))}, "
        f"average_precision: {number(metrics.average_precision_score(y, s))}, "
        f"variance: {option(number(delong(y, s)[1][0, 0]) if both else None)}, probability: {option(probability)} }}"
    )


def forecasts(n, prevalence=0.4):
    """Labels, and probabilities that know something of them."""
    y = (rng.random(n) < prevalence).astype(int)
    return 1 / (1 + np.exp(-(rng.normal(size=n) * 1.5 + 1.2 * y - 0.8))), y


s, y = forecasts(80)
case("random", s, y)
case("logits", np.log(s / (1 - s)), y)
case("half of the labels unknown", s, np.where(np.arange(80) % 2 == 0, y, -1))
s, y = forecasts(150)
case("tied, on the edges of bins", np.round(s, 1), y)
case("two scores", np.round(s), y)
case("tenths by addition", np.cumsum(np.full(10, 0.1)).clip(0, 1), [0, 0, 1, 0, 1, 0, 1, 1, 0, 1])
s, y = forecasts(200, 0.0)
y[137] = 1
case("one positive in 200", s, y)
y = 1 - y
case("one negative in 200", s, y)
y[11] = 0
case("two negatives in 200", np.round(s, 2), y)
case("perfect", np.linspace(0, 1, 20), np.arange(20) >= 12)
case("reversed", np.linspace(0, 1, 20), np.arange(20) < 12)
case("constant", np.full(30, 0.3), np.arange(30) % 3 == 0)
case("certain and wrong", [1.0, 0.0, 1.0, 0.0, 1e-20], [0, 1, 1, 0, 1])
case("two samples", [0.2, 0.7], [0, 1])
lines += ["/// Sets of outcomes.", f"pub const CASES: &[Case] = &[{', '.join(cases)}];"]


def splitmix64(seed):
    mask = (1 << 64) - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


SEED, RESAMPLES = 5, 300
a, y = forecasts(40, 0.3)
b = np.round(0.6 * a + 0.4 * rng.random(40), 1)
few = y.copy()
few[np.flatnonzero(y)[2:]] = 0  # two positives: some resamples lack them
lines += [
    "/// Probabilities of a first model.", f"pub const OURS: &[f64] = {floats(a)};",
    "/// Those of a second, with ties.", f"pub const REFERENCE: &[f64] = {floats(b)};",
    "/// Labels.", f"pub const LABELS: &[i8] = &{y.tolist()};",
    "/// Two positives only.", f"pub const FEW: &[i8] = &{few.tolist()};",
    f"/// Seed and number of resamples of the intervals.\npub const RESAMPLING: (u64, usize) = ({SEED}, {RESAMPLES});",
]
MEASURES = [
    ("AUROC", metrics.roc_auc_score),
    ("AUPRC", auprc),
    ("average precision", metrics.average_precision_score),
    ("Brier", metrics.brier_score_loss),
    ("log loss", lambda y, s: metrics.log_loss(y, s, labels=[0, 1])),
    ("ECE 10", lambda y, s: calibration_error(y, s, 10)),
]


def resamples(y, stratified):
    draws = splitmix64(SEED)
    strata = [np.flatnonzero(y == 1), np.flatnonzero(y == 0)] if stratified else [np.arange(len(y))]
    for _ in range(RESAMPLES):
        yield np.concatenate([[stratum[(next(draws) * len(stratum)) >> 64] for _ in stratum] for stratum in strata])


def interval(y, stratified, measure, needs_both):
    """np.percentile's 2.5 and 97.5 over the resamples, and how many lack a class."""
    drawn = list(resamples(y, stratified))
    kept = [at for at in drawn if not needs_both or 0 < y[at].sum() < len(at)]
    low, high = np.percentile([measure(at) for at in kept], [2.5, 97.5])
    return f"({number(low)}, {number(high)}), {len(drawn) - len(kept)}"


single, paired = [], []
for name, measure in MEASURES:
    ranking = name in ("AUROC", "AUPRC", "average precision")
    for few_positives, labels in ((False, y), (True, few)):
        for stratified in (False, True):
            flags = f'"{name}", {str(few_positives).lower()}, {str(stratified).lower()}'
            single.append(f"({flags}, {interval(labels, stratified, lambda at: measure(labels[at], a[at]), ranking)})")
            difference = lambda at: measure(labels[at], a[at]) - measure(labels[at], b[at])  # noqa: E731
            paired.append(f"({flags}, {interval(labels, stratified, difference, ranking)})")
row = "(&str, bool, bool, (f64, f64), usize)"
lines += [
    "/// (measure, with FEW, stratified, 95 % interval of OURS, resamples without both classes).",
    f"pub const BOOTSTRAP: &[{row}] = &[{', '.join(single)}];",
    "/// The same of OURS - REFERENCE.",
    f"pub const BOOTSTRAP_DIFFERENCE: &[{row}] = &[{', '.join(paired)}];",
]

aurocs, covariance = delong(y, a, b)
difference = aurocs[0] - aurocs[1]
error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
half = stats.norm.ppf(0.975) * error
lines += [
    "/// OURS against REFERENCE: difference, standard error, ends of its 95 % interval, z and p by `stats.norm`.",
    "pub const DELONG: [f64; 6] = ["
    + ", ".join(map(number, (difference, error, difference - half, difference + half, difference / error,
                             2 * stats.norm.sf(abs(difference / error))))) + "];",
]


def inflation(x):
    """1 / (1 - R^2) by lstsq of each column on the others and an intercept: statsmodels' definition."""
    factors = []
    for j in range(x.shape[1]):
        others = np.column_stack([np.ones(len(x)), np.delete(x, j, axis=1)])
        residual = x[:, j] - others @ np.linalg.lstsq(others, x[:, j], rcond=None)[0]
        factors.append(((x[:, j] - x[:, j].mean()) ** 2).sum() / (residual**2).sum())
    return factors


matrices = []
x = rng.normal(size=(30, 5))
matrices.append(("independent", x))
x = rng.normal(size=(40, 6)) @ np.diag([1, 1e3, 1e-3, 1, 1, 1]) + 5
x[:, 4] = x[:, 0] + 0.1 * rng.normal(size=40)
x[:, 5] = 0.3 * x[:, 0] - 2 * x[:, 3] + 0.02 * rng.normal(size=40)
matrices.append(("correlated, of unequal sizes", x))
matrices.append(("two features", x[:, [0, 4]]))
matrices.append(("one feature", x[:, :1]))
entries = ", ".join(
    f'("{name}", {len(x)}, {x.shape[1]}, {floats(x)}, {floats(inflation(x))})' for name, x in matrices
)
lines += [
    "/// (name, samples, features, matrix row by row, variance inflation factors).",
    f"pub const INFLATION: &[(&str, usize, usize, &[f64], &[f64])] = &[{entries}];",
]



def probe(name, x, y, asked):
    """Log-probabilities of `asked` by the probe that scikit-learn fits to x and y."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1, solver="newton-cholesky", tol=1e-12, max_iter=1000))
    said = model.fit(x, y).predict_log_proba(asked)
    labels = "&[" + ", ".join(map(str, y)) + "]"
    return f'("{name}", {x.shape[1]}, {said.shape[1]}, {floats(x)}, {labels}, {floats(asked)}, {floats(said)})'


x = rng.normal(size=(40, 4)) @ np.diag([1, 50, 0.02, 1]) + 3
x[:, 3] = x[:, 0] + 0.1 * rng.normal(size=40)
asked = np.vstack([x[:3], x.mean(axis=0) + 4 * x.std(axis=0)])
three = np.digitize(x[:, 0] + 0.02 * x[:, 1] + 0.5 * rng.normal(size=40), [3.5, 4.5])
dead = x.copy()
dead[:, 2] = 0.7
dead_asked = asked.copy()
dead_asked[3, 2] = 0.7
entries = ", ".join([
    probe("three classes", x, three, asked),
    probe("two classes, few of one", x, (three == 2).astype(int), asked),
    probe("separable", x, (x[:, 1] > 0).astype(int), asked),
    probe("a feature that does not vary", dead, three, dead_asked),
])
lines += [
    "/// (name, features, classes, samples row by row, labels, asked samples, their log-probabilities) by",
    "/// `make_pipeline(StandardScaler(), LogisticRegression(C=1))`.",
    "pub const PROBES: &[(&str, usize, usize, &[f64], &[u32], &[f64], &[f64])] = &[" + entries + "];",
]

write(lines, "expected_classification")
