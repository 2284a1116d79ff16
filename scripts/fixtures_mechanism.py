"""Expected values for the measures of the mechanism, by numpy, scikit-learn and PyTorch.

    python scripts/fixtures_mechanism.py && cargo fmt -p mmcollapse-probes

writes crates/mmcollapse-probes/tests/expected_mechanism/mod.rs, which tests/mechanism.rs compares with.
Needs: pip install numpy scikit-learn torch. Made with numpy 2.4.6, scikit-learn 1.9.1, torch 2.15.0.
"""

import itertools

import numpy as np
import torch
from rust_constants import floats, header, putter, write
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel

rng = np.random.default_rng(19)
lines = header("fixtures_mechanism.py", "numpy, scikit-learn and PyTorch")
put = putter(lines)

N, INPUTS, NEURONS = 9, 5, 4
weights = rng.normal(size=(NEURONS, INPUTS))
bias = rng.normal(size=NEURONS)
activations = rng.normal(size=(N, INPUTS))
baseline = rng.normal(size=INPUTS) * 0.3
put(f"[{NEURONS}, {INPUTS}]", "WEIGHTS", "&[f64]", floats(weights))
put(f"[{NEURONS}]", "BIAS", "&[f64]", floats(bias))
put(f"[{N}, {INPUTS}]", "ACTIVATIONS", "&[f64]", floats(activations))
put(f"[{INPUTS}]", "BASELINE", "&[f64]", floats(baseline))

products = np.abs(weights[None] * activations[:, None])  # [n, neurons, inputs]
put("Mean of `|w a|` over samples, [neurons, inputs].", "WEIGHT_ACTIVATION", "&[f64]", floats(products.mean(axis=0)))


def integrated(sample, steps=40_000):
    """Integrated gradients of every neuron by autograd, midpoints of even steps."""
    w, b = torch.tensor(weights), torch.tensor(bias)
    start, end = torch.tensor(baseline), torch.tensor(sample)
    at = ((torch.arange(steps) + 0.5) / steps)[:, None]
    way = (start + at * (end - start)).requires_grad_()
    out = torch.relu(way @ w.T + b)
    rows = [torch.autograd.grad(out[:, j].sum(), way, retain_graph=True)[0].mean(0) for j in range(NEURONS)]
    return (torch.stack(rows) * (end - start)).numpy()


put("Mean size of integrated gradients of `relu(w a + b)` by autograd, [neurons, inputs].", "INTEGRATED", "&[f64]",
    floats(np.abs([integrated(sample) for sample in activations]).mean(axis=0)))

features = rng.normal(size=(6, 3))
gram = features @ features.T
put("[6, 3]", "FEATURES", "&[f64]", floats(features))
put("Capacity of each feature.", "CAPACITY", "&[f64]", floats(np.diag(gram) ** 2 / (gram**2).sum(axis=1)))

# The AGOP of a network with one hidden layer, by autograd, and how close the first layer's weights are to it.
first, second = torch.tensor(weights), torch.tensor(rng.normal(size=(1, NEURONS)))
x = torch.tensor(activations).requires_grad_()
(torch.tanh(x @ first.T) @ second.T).sum().backward()
gradients = x.grad.numpy()
agop = np.einsum("ni,nj->ij", gradients, gradients) / N
ours = weights.T @ weights
put("Gradient of the output by the input, [n, inputs], by autograd.", "GRADIENTS", "&[f64]", floats(gradients))
put("Mean of their outer products.", "AGOP", "&[f64]", floats(agop))
norm = np.linalg.norm
put("Cosine of `W^T W` and AGOP, distance of both at norm 1.", "CLOSENESS", "(f64, f64)",
    f"({float((ours * agop).sum() / norm(ours) / norm(agop))!r}, {float(norm(ours / norm(ours) - agop / norm(agop)))!r})")

x, y = rng.normal(size=(11, 3)), rng.normal(0.7, 1.3, size=(8, 3))
both = np.vstack([x, y])
width = np.median(euclidean_distances(both)[np.triu_indices(len(both), 1)])
gamma = 1 / (2 * width**2)
kxx, kyy, kxy = rbf_kernel(x, gamma=gamma), rbf_kernel(y, gamma=gamma), rbf_kernel(x, y, gamma=gamma)
off = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
put("[11, 3]", "SET_X", "&[f64]", floats(x))
put("[8, 3]", "SET_Y", "&[f64]", floats(y))
put("Unbiased squared MMD, `rbf_kernel` at the median distance.", "MMD", "f64",
    repr(float(off(kxx) + off(kyy) - 2 * kxy.mean())))



def shapley_by_orders(count, number, suffix=""):
    """Draws a score of each subset of so many modalities and writes each modality's mean gain over all orders."""
    scores, gains = rng.uniform(size=1 << count), np.zeros(count)
    orders = list(itertools.permutations(range(count)))
    for order in orders:
        subset = 0
        for m in order:
            gains[m] += scores[subset | 1 << m] - scores[subset]
            subset |= 1 << m
    put(f"A score of each subset of {number} modalities.", f"SCORES{suffix}", "&[f64]", floats(scores))
    put("Mean gain of each over all orders.", f"SHAPLEY{suffix}", "&[f64]", floats(gains / len(orders)))


shapley_by_orders(4, "four")

shares = rng.dirichlet(np.full(6, 0.4), size=20)
modality = [0, 0, 1, 1, 2, 2]
noisy = [True, False, True, False, True, False]
put("[20, 6], rows sum to 1.", "SHARES", "&[f64]", floats(shares))


def crosses(row, of):
    """The share of a neuron's pairs of features whose modalities, `of` each, differ."""
    pairs = [(row[i] * row[j], of[i] != of[j]) for i in range(6) for j in range(6) if i != j]
    return sum(p for p, crosses in pairs if crosses) / sum(p for p, _ in pairs)


polysemantic = shares[(shares < 0.9).all(axis=1)]
observed = [crosses(row, modality) for row in polysemantic]
put("Mean share of pairs that cross modalities {0,0,1,1,2,2} where no feature holds .9; neurons.", "CROSSING",
    "(f64, usize)", f"({float(np.mean(observed))!r}, {len(observed)})")
across = [(i, j) for i in range(6) for j in range(i) if modality[i] != modality[j]]
mixed = sum((shares[:, i] * shares[:, j]).sum() for i, j in across if noisy[i] != noisy[j])
predictive = sum((shares[:, i] * shares[:, j]).sum() for i, j in across if not noisy[i] and not noisy[j])
put("Log-odds of a noisy and a predictive feature, every first one noisy.", "ROLE_ODDS", "f64",
    repr(float(np.log(mixed / predictive))))

# Below: drawn after all else, so that what stands above keeps its values.
by_modality = shares.reshape(20, 3, 2).sum(axis=2)
mixing = [float(((by_modality >= least).sum(axis=1) >= 2).mean()) for least in (0.05, 0.1, 0.2)]
single = [float((shares.max(axis=1) >= least).mean()) for least in (0.9, 0.8, 0.5)]
put("Share of neurons in which two modalities hold .05, .1, .2.", "MIXING", "&[f64]", floats(np.array(mixing)))
put("Share of neurons in which one feature holds .9, .8, .5.", "MONOSEMANTIC", "&[f64]", floats(np.array(single)))
put("Each feature's shares over the neurons, [20, 6].", "PLACES", "&[f64]", floats(shares / shares.sum(axis=0)))

nulls = []
for first in itertools.permutations(range(0, 6, 2)):
    for second in itertools.permutations(range(1, 6, 2)):
        source = {**dict(zip(range(0, 6, 2), first)), **dict(zip(range(1, 6, 2), second))}
        nulls.append(np.mean([crosses(row, [modality[source[i]] for i in range(6)]) for row in polysemantic]))
put("The mean of crossing over all exchanges of modalities among the noisy and among the other features.", "CROSSING_PERMUTED",
    "f64", repr(float(np.mean(nulls))))


def odds(roles):
    """Log-odds with the pair of features 1 and 3 left out, place i having the role and ties of feature roles[i]."""
    kept = [(i, j) for i, j in across if {roles[i], roles[j]} != {1, 3}]
    mass = lambda wanted: sum(
        (shares[:, i] * shares[:, j]).sum() for i, j in kept if (noisy[roles[i]] + noisy[roles[j]]) == wanted
    )
    return float(np.log(mass(1) / mass(0)))


swaps = [[0, 1], [1, 0]]
nulls = [odds([2 * m + a[k] for m, a in enumerate(chosen) for k in (0, 1)]) for chosen in itertools.product(swaps, repeat=3)]
put("Log-odds without the pair of features 1 and 3; its mean over all exchanges of features within modalities.", "ROLE_ODDS_TIED",
    "(f64, f64)", f"({odds(list(range(6)))!r}, {float(np.mean(nulls))!r})")

slopes = rng.normal(size=(3, 5, 4))  # [features, n, neurons]
variances = rng.uniform(0.2, 2, size=3)
put("Derivatives of four neurons along three features, [3, 5, 4].", "SLOPES", "&[f64]", floats(slopes))
put("Variances of the features.", "VARIANCES", "&[f64]", floats(variances))
put("Mean squared derivative times variance, [neurons, features].", "RESPONSE", "&[f64]",
    floats(np.einsum("fnk,f->kf", slopes**2, variances) / 5))

shapley_by_orders(8, "eight", "_OF_EIGHT")

write(lines, "expected_mechanism")
