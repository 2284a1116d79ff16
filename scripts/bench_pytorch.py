"""PyTorch's side of `just bench`: the networks of crates/mmcollapse-nn/examples/bench_cpu/nets.rs.

Each line `WORKLOAD VARIANT SECONDS` on standard input is trained for about that long and answered by one line of
JSON with the median time of a step. Variants: `eager` (as PyTorch comes: contiguous tensors, AdamW), `tuned`
(channels-last tensors, fused AdamW) and `compiled` (the same with the loss under torch.compile). `gemm` as the workload
times a large matrix product. With arguments, these are WORKLOAD:VARIANT pairs, two seconds each. BENCH_THREADS sets the
number of threads (default 2).
"""

import os

import torch
from bench_side import GEMM, answer
from torch import nn
from torch.nn import functional as F


class SmilImage(nn.Module):
    """LeNet5 of SMIL (Ma et al. 2021): 1 x 28 x 28 to 160 features."""

    def __init__(self, dropout=0.5):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 5, 5)
        self.conv2 = nn.Conv2d(5, 10, 5)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.dropout(self.conv2(x)), 2))
        return x.flatten(1)


class SmilSound(nn.Module):
    """SNetPluse of SMIL: 1 x 20 x 20 to 320 features."""

    def __init__(self, dropout=0.25):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 32, 2), nn.BatchNorm2d(32)
        self.conv2, self.norm2 = nn.Conv2d(32, 48, 2), nn.BatchNorm2d(48)
        self.conv3, self.norm3 = nn.Conv2d(48, 20, 2), nn.BatchNorm2d(20)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        x = F.relu(self.norm3(self.conv3(x)))
        x = F.max_pool2d(x, 2, stride=4)
        return self.dropout(x).flatten(1)


class Unimodal(nn.Module):
    """One encoder with a linear classifier."""

    def __init__(self, encoder, width, shape):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(width, 10)
        self.shapes = [shape]

    def forward(self, x):
        return self.head(self.encoder(x))


def smil_image(dropout=0.5):
    return Unimodal(SmilImage(dropout), 160, (1, 28, 28))


def smil_sound(dropout=0.25):
    return Unimodal(SmilSound(dropout), 320, (1, 20, 20))


class Smil(nn.Module):
    """Both encoders and SMIL's classifier: 480 - 64 - 10."""

    shapes = [(1, 28, 28), (1, 20, 20)]

    def __init__(self):
        super().__init__()
        self.image, self.sound = SmilImage(), SmilSound()
        self.hidden, self.head = nn.Linear(480, 64), nn.Linear(64, 10)
        self.dropout = nn.Dropout(0.6)

    def forward(self, image, sound):
        x = torch.cat([self.image(image), self.sound(sound)], 1)
        return self.head(self.dropout(F.relu(self.hidden(x))))


class Cnn(nn.Module):
    """A LeNet on 28 x 28 beside four convolutions on 112 x 112."""

    shapes = [(1, 28, 28), (1, 112, 112)]
    SOUND = [1, 8, 16, 32, 64]

    def __init__(self):
        super().__init__()
        self.image0, self.image1 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        for i in range(4):
            setattr(self, f"sound{i}", nn.Conv2d(self.SOUND[i], self.SOUND[i + 1], 3, padding=1))
        self.hidden, self.head = nn.Linear(400 + 3136, 128), nn.Linear(128, 10)

    def forward(self, image, sound):
        for conv in (self.image0, self.image1):
            image = F.max_pool2d(F.relu(conv(image)), 2)
        for i in range(4):
            sound = F.max_pool2d(F.relu(getattr(self, f"sound{i}")(sound)), 2)
        x = torch.cat([image.flatten(1), sound.flatten(1)], 1)
        return self.head(F.relu(self.hidden(x)))


class Mlp(nn.Module):
    """Four branches 400-256-256-256, concatenated."""

    shapes = [(400,)] * 4
    WIDTHS = [400, 256, 256, 256]

    def __init__(self):
        super().__init__()
        branch = lambda: nn.ModuleList(nn.Linear(a, b) for a, b in zip(self.WIDTHS, self.WIDTHS[1:]))
        self.branches = nn.ModuleList(branch() for _ in range(4))
        self.head = nn.Linear(1024, 10)

    def forward(self, *inputs):
        encodings = []
        for branch, x in zip(self.branches, inputs):
            for layer in branch:
                x = F.relu(layer(x))
            encodings.append(x)
        return self.head(torch.cat(encodings, 1))


class Reverse(torch.autograd.Function):
    """The identity, whose gradient goes back reversed at a tenth."""

    @staticmethod
    def forward(context, x):
        return x.view_as(x)

    @staticmethod
    def backward(context, gradient):
        return -0.1 * gradient


class Ebr(nn.Module):
    """Explicit basis reallocation between two encoders of 256 features: heads, decoders and a discriminator."""

    shapes = [(400,)] * 2
    clip = 1e-3

    def __init__(self):
        super().__init__()
        two = lambda a, b, c: nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c))
        self.encoders = nn.ModuleList(nn.Sequential(nn.Linear(400, 256), nn.ReLU()) for _ in range(2))
        self.heads = nn.ModuleList(nn.Sequential(two(256, 1024, 512), nn.LayerNorm(512)) for _ in range(2))
        self.decoders = nn.ModuleList(two(512, 1024, 256) for _ in range(2))
        self.psi, self.classifier = two(512, 256, 2), nn.Linear(512, 10)

    def forward(self, *inputs):
        latents = [head(encoder(x)) for head, encoder, x in zip(self.heads, self.encoders, inputs)]
        encodings = [decoder(latent) for decoder, latent in zip(self.decoders, latents)]
        return self.classifier(torch.cat(encodings, 1)), [self.psi(Reverse.apply(latent)) for latent in latents]

    def loss(self, inputs, targets):
        logits, guesses = self(*inputs)
        modality = lambda i: torch.full((len(targets),), i)
        return F.cross_entropy(logits, targets) + sum(F.cross_entropy(g, modality(i)) for i, g in enumerate(guesses))


NETS = {"cnn": Cnn, "smil": Smil, "smil_image": smil_image, "smil_sound": smil_sound, "mlp": Mlp, "ebr": Ebr}


def training_step(workload, variant):
    """A function that trains `workload` for one step."""
    name, batch = workload.rsplit("_", 1)
    torch.manual_seed(0)
    net = NETS[name]().train()
    inputs = [torch.randn(int(batch), *shape) for shape in net.shapes]
    targets = torch.randint(10, (int(batch),))
    tuned = variant in ("tuned", "compiled")
    if tuned:
        net = net.to(memory_format=torch.channels_last)
        inputs = [x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in inputs]
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True if tuned else None)

    loss = getattr(net, "loss", lambda inputs, targets: F.cross_entropy(net(*inputs), targets))
    loss = torch.compile(loss) if variant == "compiled" else loss
    clip = getattr(net, "clip", None)

    def step():
        optimizer.zero_grad()
        loss(inputs, targets).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()

    return step


def matrix_product():
    a, b = torch.randn(GEMM, GEMM), torch.randn(GEMM, GEMM)
    out = torch.empty(GEMM, GEMM)
    return lambda: torch.mm(a, b, out=out)


def step_of(workload, variant):
    return matrix_product() if workload == "gemm" else training_step(workload, variant)


def told(workload, variant):
    return {"workload": workload, "variant": variant, "threads": torch.get_num_threads()}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("BENCH_THREADS", "2")))
    answer(step_of, told)
