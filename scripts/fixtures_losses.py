"""Known answers for mmcollapse-nn, computed by PyTorch, by hashlib and by code written out here.

    python scripts/fixtures_losses.py

writes crates/mmcollapse-nn/tests/fixtures/{streams,layers,losses,crd,crd_other_classes,optimizers}.json, which are committed; the
tests need no Python. Made with torch 2.15, in double precision. Inputs are rounded, so that the files are short and exact.
"""

import hashlib
import json
import math
import struct
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

OUT = Path(__file__).resolve().parent.parent / "crates/mmcollapse-nn/tests/fixtures"
torch.set_default_dtype(torch.float64)


def tensor(t):
    t = t.detach()
    return {"shape": list(t.shape), "data": [float(f"{v:.14g}") for v in t.flatten().tolist()]}


def inputs(*shape, scale=1.0):
    """Normal numbers of three decimals."""
    return (torch.randn(*shape) * scale * 1000).round() / 1000


def round_(module):
    with torch.no_grad():
        for p in module.parameters():
            p.copy_((p * 1000).round() / 1000)


def write(name, value):
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(value, indent=None, separators=(",", ":")) + "\n")


# --- random streams: ChaCha with 8 rounds (RFC 8439's block, a 64-bit counter, a zero nonce) ---------------


def chacha8(key, counter):
    mask = 0xFFFFFFFF
    rotate = lambda v, n: ((v << n) | (v >> (32 - n))) & mask
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key)]
    start += [counter & mask, counter >> 32, 0, 0]
    s = list(start)

    def quarter(a, b, c, d):
        s[a] = (s[a] + s[b]) & mask
        s[d] = rotate(s[d] ^ s[a], 16)
        s[c] = (s[c] + s[d]) & mask
        s[b] = rotate(s[b] ^ s[c], 12)
        s[a] = (s[a] + s[b]) & mask
        s[d] = rotate(s[d] ^ s[a], 8)
        s[c] = (s[c] + s[d]) & mask
        s[b] = rotate(s[b] ^ s[c], 7)

    for _ in range(4):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return [(a + b) & mask for a, b in zip(s, start)]


def key(domain, seed, purpose, index):
    h = hashlib.sha256(domain + struct.pack("<QQ", seed, len(purpose.encode())) + purpose.encode())
    h.update(struct.pack("<Q", index))
    return h.digest()


class Stream:
    def __init__(self, seed, purpose, index=0):
        self.key, self.position = key(b"mmcollapse stream 1", seed, purpose, index), 0

    def u32(self):
        word = chacha8(self.key, self.position // 16)[self.position % 16]
        self.position += 1
        return word

    def u64(self):
        low = self.u32()
        return low | self.u32() << 32

    def unit(self):
        return (self.u64() >> 11) / 2**53

    def normal(self):
        radius = math.sqrt(-2 * math.log(1 - self.unit()))
        return radius * math.cos(2 * math.pi * self.unit())

    def below(self, n):
        while True:
            high, low = divmod(self.u64() * n, 2**64)
            if low >= 2**64 % n:
                return high

    def permutation(self, n):
        order = list(range(n))
        for last in range(n - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def choose(self, n, k):
        order = list(range(n))
        for place in range(k):
            other = place + self.below(n - place)
            order[place], order[other] = order[other], order[place]
        return order[:k]


def streams():
    s = Stream(7, "shuffle", 3)
    words = [str(s.u64()) for _ in range(20)]
    s = Stream(0, "noise")
    uniforms = [-2 + 5 * s.unit() for _ in range(5)]
    normals = [s.normal() for _ in range(5)]
    s = Stream(2**64 - 1, "größe", 2**63)
    below = [s.below(n) for n in (1, 2, 10, 1000, 2**63 + 1, 2**40)]
    write(
        "streams",
        {
            "words": words,
            "uniforms": uniforms,
            "normals": normals,
            "below": [str(v) for v in below],
            "position": s.position,
            "permutation": Stream(1, "order", 5).permutation(17),
            "choose_few": Stream(1, "few").choose(1000, 9),
            "choose_many": Stream(1, "many").choose(12, 9),
            "mask": [int(v < 2**32 * 0.25) for v in map(lambda s: s.u32(), [Stream(3, "mask")] * 40)],
            "derived": str(struct.unpack("<Q", key(b"mmcollapse seed 1", 7, "cell", 0)[:8])[0]),
        },
    )


# --- layers -----------------------------------------------------------------------------------------------


def grads(module, extra):
    out = {f"grad.{n}": tensor(p.grad) for n, p in module.named_parameters()}
    return out | {f"grad.{n}": tensor(t.grad) for n, t in extra.items()}


def state(module):
    return {n: tensor(p) for n, p in module.named_parameters()}


def layers():
    torch.manual_seed(1)
    out = {}

    gru = nn.GRU(4, 6, batch_first=True)
    round_(gru)
    x, r = inputs(3, 5, 4).requires_grad_(), inputs(3, 5, 6)
    y, _ = gru(x)
    (y * r).sum().backward()
    out["gru"] = {"state": state(gru), "x": tensor(x), "r": tensor(r), "y": tensor(y), "grads": grads(gru, {"x": x})}

    norm = nn.LayerNorm(7)
    with torch.no_grad():
        norm.weight.copy_(inputs(7))
        norm.bias.copy_(inputs(7))
    x, r = inputs(2, 3, 7, scale=3.0).requires_grad_(), inputs(2, 3, 7)
    y = norm(x)
    (y * r).sum().backward()
    out["layer_norm"] = {
        "state": state(norm), "x": tensor(x), "r": tensor(r), "y": tensor(y), "grads": grads(norm, {"x": x})
    }

    block = nn.TransformerEncoderLayer(
        8, 2, dim_feedforward=32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    with torch.no_grad():
        for p in block.parameters():
            p.copy_(inputs(*p.shape, scale=0.4))
    for name, mask in (("attention", None), ("attention_masked", [[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 1]])):
        block.zero_grad()
        x, r = inputs(3, 4, 8).requires_grad_(), inputs(3, 4, 8)
        present = torch.ones(3, 4) if mask is None else torch.tensor(mask, dtype=torch.float64)
        r = r * present.unsqueeze(-1)  # what absent tokens give means nothing
        y = block(x, src_key_padding_mask=None if mask is None else present == 0)
        (y * r).sum().backward()
        out[name] = {
            "state": state(block), "x": tensor(x), "r": tensor(r), "present": tensor(present),
            "y": tensor(y * present.unsqueeze(-1)), "grads": grads(block, {"x": x}),
        }
    write("layers", out)


# --- losses -----------------------------------------------------------------------------------------------


def losses():
    torch.manual_seed(2)
    x = torch.tensor([[0.0, 0.5, -0.5, 3.0], [17.0, -17.0, 40.0, -40.0], [100.0, -100.0, 1000.0, -1000.0]])
    x.requires_grad_()
    y = torch.tensor([[1.0, 0.0, 0.25, 1.0], [0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
    w = torch.tensor([[1.0, 0.0, 2.0, 1.0], [0.0, 1.0, 1.0, 0.5], [1.0, 1.0, 0.0, 1.0]])
    plain = F.binary_cross_entropy_with_logits(x, y)
    (plain_grad,) = torch.autograd.grad(plain, x)
    weighted = F.binary_cross_entropy_with_logits(x, y, weight=w, reduction="sum") / w.sum()
    (weighted_grad,) = torch.autograd.grad(weighted, x)
    bce = {
        "x": tensor(x), "y": tensor(y), "w": tensor(w), "plain": plain.item(), "plain_grad": tensor(plain_grad),
        "weighted": weighted.item(), "weighted_grad": tensor(weighted_grad),
    }

    a, b = inputs(5, 6).requires_grad_(), inputs(5, 6).requires_grad_()
    scores = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.2
    own = torch.arange(5)
    loss = (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
    loss.backward()
    student, teacher = inputs(4, 3).requires_grad_(), inputs(4, 3) * 5
    taught = 9 * F.kl_div(F.log_softmax(student / 3, 1), F.softmax(teacher / 3, 1), reduction="batchmean")
    taught.backward()
    write("losses", {
        "bce": bce,
        "distillation": {
            "student": tensor(student), "teacher": tensor(teacher), "temperature": 3.0, "loss": taught.item(),
            "grad": tensor(student.grad),
        },
        "info_nce": {
            "a": tensor(a), "b": tensor(b), "temperature": 0.2, "loss": loss.item(),
            "grad_a": tensor(a.grad), "grad_b": tensor(b.grad),
        },
    })


# --- CRD, after the description in Tian et al. (2020) and the semantics of RepDistiller ---------------------


def crd(name, labels=None):
    """Three training steps, sample by sample and negative by negative. With labels an anchor's negatives are all samples
    of other classes, which are equally many for each."""
    torch.manual_seed(3)
    n, width, s_width, t_width, k, batch, temperature, momentum, eps = 9, 6, 5, 4, 4, 3, 0.07, 0.5, 1e-7
    if labels:
        k = n - labels.count(labels[0])
    embed_s, embed_t = nn.Linear(s_width, width), nn.Linear(t_width, width)
    round_(embed_s), round_(embed_t)
    bound = math.sqrt(3 / width)
    bank_s = ((torch.rand(n, width) * 2 - 1) * bound * 1000).round() / 1000
    bank_t = ((torch.rand(n, width) * 2 - 1) * bound * 1000).round() / 1000
    out = {
        "n": n, "width": width, "negatives": k, "temperature": temperature, "momentum": momentum,
        "student.embed.weight": tensor(embed_s.weight), "student.embed.bias": tensor(embed_s.bias),
        "teacher.embed.weight": tensor(embed_t.weight), "teacher.embed.bias": tensor(embed_t.bias),
        "student.bank": tensor(bank_s), "teacher.bank": tensor(bank_t), "steps": [],
    }
    z_s = z_t = None
    noise = k / n
    for _ in range(3):
        student, teacher = inputs(batch, s_width).requires_grad_(), inputs(batch, t_width)
        index = torch.randperm(n)[:batch].tolist()
        contrast = []
        for i in index:
            if labels:
                contrast.append([i] + [j for j in range(n) if labels[j] != labels[i]])
                continue
            others = [j for j in range(n) if j != i]
            contrast.append([i] + [others[j] for j in torch.randperm(n - 1)[:k].tolist()])
        s, t = embed_s(student), embed_t(teacher)
        s, t = s / s.norm(dim=1, keepdim=True), t / t.norm(dim=1, keepdim=True)

        def odds(anchors, bank):
            return torch.stack([
                torch.stack([torch.exp(torch.dot(anchors[b], bank[j]) / temperature) for j in contrast[b]])
                for b in range(batch)
            ])

        odds_s, odds_t = odds(s, bank_t), odds(t, bank_s)
        if z_s is None:
            z_s, z_t = odds_s.mean().item() * n, odds_t.mean().item() * n
        loss = 0.0
        for p in (odds_s / z_s, odds_t / z_t):
            for b in range(batch):
                loss = loss - torch.log(p[b, 0] / (p[b, 0] + noise + eps)) / batch
                for j in range(1, k + 1):
                    loss = loss - torch.log(noise / (p[b, j] + noise + eps)) / batch
        embed_s.zero_grad(), embed_t.zero_grad()
        loss.backward()
        with torch.no_grad():
            for b, i in enumerate(index):
                for bank, new in ((bank_s, s), (bank_t, t)):
                    row = momentum * bank[i] + (1 - momentum) * new[b]
                    bank[i] = row / row.norm()
        out["steps"].append({
            "student": tensor(student), "teacher": tensor(teacher), "index": index, "contrast": sum(contrast, []),
            "loss": loss.item(), "student.bank": tensor(bank_s), "teacher.bank": tensor(bank_t),
            "grad.student": tensor(student.grad), "student.normalizer": z_s, "teacher.normalizer": z_t,
            "grad.student.embed.weight": tensor(embed_s.weight.grad),
            "grad.student.embed.bias": tensor(embed_s.bias.grad),
            "grad.teacher.embed.weight": tensor(embed_t.weight.grad),
            "grad.teacher.embed.bias": tensor(embed_t.bias.grad),
        })
    if labels:
        out["labels"] = labels
    write(name, out)


# --- optimizers -------------------------------------------------------------------------------------------


def optimizers():
    """Twelve steps of a regression; the parameter `late` is used in every third step only."""
    torch.manual_seed(4)
    x, y = inputs(16, 3), inputs(16, 4)
    start = {"late": inputs(4), "w": inputs(3, 4), "b": inputs(4)}
    step_lr = {"kind": "step", "every": 2, "factor": 0.7}
    cosine = {"kind": "cosine", "floor": 0.1}
    cases = [
        ({"kind": "sgd", "lr": 0.1}, None, None),
        ({"kind": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}, step_lr, None),
        ({"kind": "sgd", "lr": 0.1, "momentum": 0.9}, None, 0.5),
        ({"kind": "adam", "lr": 0.05, "weight_decay": 0.1}, None, None),
        ({"kind": "adam", "lr": 0.05, "betas": [0.8, 0.95], "eps": 1e-3}, cosine, 0.3),
        ({"kind": "adamw", "lr": 0.05, "weight_decay": 0.1}, cosine, 1.0),
        # A second moment that forgets soon falls below its largest value.
        ({"kind": "adam", "lr": 0.05, "betas": [0.8, 0.5], "amsgrad": True}, None, None),
    ]
    runs = []
    for config, schedule, clip in cases:
        params = {n: p.clone().requires_grad_() for n, p in start.items()}
        keys = {k: v for k, v in config.items() if k not in ("kind",)}
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config["kind"]]
        if config["kind"] == "adamw":
            keys.setdefault("weight_decay", 0.0)
        optimizer = kind(params.values(), **keys)
        rule = None
        if schedule and schedule["kind"] == "step":
            rule = torch.optim.lr_scheduler.StepLR(optimizer, schedule["every"], schedule["factor"])
        elif schedule:
            floor = schedule["floor"] * config["lr"]
            rule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6, eta_min=floor)
        trajectory, norms = [], []
        for step in range(12):  # two steps an epoch, six epochs
            optimizer.zero_grad(set_to_none=True)
            prediction = x @ params["w"] + params["b"]
            if step % 3 == 2:
                prediction = prediction + params["late"] * 2
            ((prediction - y) ** 2).mean().backward()
            if clip:
                norms.append(torch.nn.utils.clip_grad_norm_(params.values(), clip).item())
            optimizer.step()
            if rule and step % 2 == 1:
                rule.step()
            trajectory.append({n: tensor(p) for n, p in params.items()})
        runs.append({"config": config, "schedule": schedule, "clip": clip, "norms": norms, "trajectory": trajectory})
    write("optimizers", {"x": tensor(x), "y": tensor(y), "start": {n: tensor(p) for n, p in start.items()}, "runs": runs})


if __name__ == "__main__":
    streams()
    layers()
    losses()
    crd("crd")
    crd("crd_other_classes", [0, 1, 2, 2, 1, 0, 0, 1, 2])
    optimizers()
