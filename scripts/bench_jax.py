"""JAX's side of `just bench`: the networks of crates/mmcollapse-nn/examples/bench_cpu, as people who want speed from JAX on a
CPU write them: the whole step under one `jit`, weights and moments donated, images in the layout that XLA prefers (NHWC).

Each line `WORKLOAD SECONDS` on standard input is trained for about that long and answered by one line of JSON with the median
time of a step. With arguments, these are workloads, two seconds each. BENCH_THREADS sets the number of processors, to which
the process is bound before JAX starts, as XLA takes a thread for each.
"""

import os

if hasattr(os, "sched_setaffinity"):
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[: int(os.environ.get("BENCH_THREADS", "2"))])

import jax
import jax.numpy as jnp
import numpy as np
from bench_side import GEMM, answer
from jax import lax

RATE, BETAS, EPSILON, DECAY = 1e-3, (0.9, 0.999), 1e-8, 1e-2


def linear(draw, inputs, outputs):
    bound = 1 / np.sqrt(inputs)
    return {"w": draw.uniform(-bound, bound, (inputs, outputs)), "b": draw.uniform(-bound, bound, outputs)}


def apply(layer, x):
    return x @ layer["w"] + layer["b"]


def conv(draw, inputs, outputs, size):
    bound = 1 / np.sqrt(inputs * size * size)
    return {"w": draw.uniform(-bound, bound, (size, size, inputs, outputs)), "b": draw.uniform(-bound, bound, outputs)}


def convolve(layer, x, padding=0):
    pads = [(padding, padding)] * 2
    y = lax.conv_general_dilated(x, layer["w"], (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + layer["b"]


def pool(x, size=2, stride=2):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), "VALID")


def batch_norm(layer, x, state):
    """In training: by the batch's statistics, which the running ones follow."""
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    y = (x - mean) * lax.rsqrt(variance + 1e-5) * layer["w"] + layer["b"]
    return y, {"mean": 0.9 * state["mean"] + 0.1 * mean, "variance": 0.9 * state["variance"] + 0.1 * variance}


def layer_norm(layer, x):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * layer["w"] + layer["b"]


def dropout(key, rate, x):
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0.0)


def cross_entropy(logits, targets):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], 1).mean()


class Net:
    """Weights and running statistics of a classifier, and its loss."""

    def state(self):
        return {}

    def loss(self, weights, state, inputs, targets, key):
        logits, state = self.logits(weights, state, inputs, key)
        return cross_entropy(logits, targets), state

    clip = None


class SmilImage:
    shape = (28, 28, 1)
    width = 160

    def weights(self, draw):
        return {"conv1": conv(draw, 1, 5, 5), "conv2": conv(draw, 5, 10, 5)}

    def state(self):
        return {}

    def features(self, weights, state, x, key):
        x = jax.nn.relu(pool(convolve(weights["conv1"], x)))
        x = jax.nn.relu(pool(dropout(key, 0.5, convolve(weights["conv2"], x))))
        return x.reshape(len(x), -1), state


class SmilSound:
    shape = (20, 20, 1)
    width = 320
    CHANNELS = [1, 32, 48, 20]

    def weights(self, draw):
        weights = {}
        for i, (inputs, outputs) in enumerate(zip(self.CHANNELS, self.CHANNELS[1:])):
            weights[f"conv{i}"] = conv(draw, inputs, outputs, 2)
            weights[f"norm{i}"] = {"w": np.ones(outputs), "b": np.zeros(outputs)}
        return weights

    def state(self):
        norm = lambda width: {"mean": np.zeros(width), "variance": np.ones(width)}
        return {f"norm{i}": norm(width) for i, width in enumerate(self.CHANNELS[1:])}

    def features(self, weights, state, x, key):
        state = dict(state)
        for i in range(3):
            x, state[f"norm{i}"] = batch_norm(weights[f"norm{i}"], convolve(weights[f"conv{i}"], x), state[f"norm{i}"])
            x = jax.nn.relu(x)
        x = dropout(key, 0.25, pool(x, 2, 4))
        return x.reshape(len(x), -1), state


class Unimodal(Net):
    def __init__(self, encoder):
        self.encoder, self.shapes = encoder, [encoder.shape]

    def weights(self, draw):
        return {"encoder": self.encoder.weights(draw), "head": linear(draw, self.encoder.width, 10)}

    def state(self):
        return self.encoder.state()

    def logits(self, weights, state, inputs, key):
        features, state = self.encoder.features(weights["encoder"], state, inputs[0], key)
        return apply(weights["head"], features), state


class Smil(Net):
    """Both encoders and SMIL's classifier: 480 - 64 - 10."""

    def __init__(self):
        self.image, self.sound = SmilImage(), SmilSound()
        self.shapes = [self.image.shape, self.sound.shape]

    def weights(self, draw):
        encoders = {"image": self.image.weights(draw), "sound": self.sound.weights(draw)}
        return encoders | {"hidden": linear(draw, 480, 64), "head": linear(draw, 64, 10)}

    def state(self):
        return self.sound.state()

    def logits(self, weights, state, inputs, key):
        keys = jax.random.split(key, 3)
        image, _ = self.image.features(weights["image"], {}, inputs[0], keys[0])
        sound, state = self.sound.features(weights["sound"], state, inputs[1], keys[1])
        x = jax.nn.relu(apply(weights["hidden"], jnp.concatenate([image, sound], 1)))
        return apply(weights["head"], dropout(keys[2], 0.6, x)), state


class Cnn(Net):
    """A LeNet on 28 x 28 beside four convolutions on 112 x 112."""

    shapes = [(28, 28, 1), (112, 112, 1)]
    SOUND = [1, 8, 16, 32, 64]

    def weights(self, draw):
        weights = {"image0": conv(draw, 1, 6, 5), "image1": conv(draw, 6, 16, 5)}
        for i in range(4):
            weights[f"sound{i}"] = conv(draw, self.SOUND[i], self.SOUND[i + 1], 3)
        return weights | {"hidden": linear(draw, 400 + 3136, 128), "head": linear(draw, 128, 10)}

    def logits(self, weights, state, inputs, key):
        image, sound = inputs
        for name, padding in (("image0", 2), ("image1", 0)):
            image = pool(jax.nn.relu(convolve(weights[name], image, padding)))
        for i in range(4):
            sound = pool(jax.nn.relu(convolve(weights[f"sound{i}"], sound, 1)))
        x = jnp.concatenate([image.reshape(len(image), -1), sound.reshape(len(sound), -1)], 1)
        return apply(weights["head"], jax.nn.relu(apply(weights["hidden"], x))), state


class Mlp(Net):
    """Four branches 400-256-256-256, concatenated."""

    shapes = [(400,)] * 4
    WIDTHS = [400, 256, 256, 256]

    def weights(self, draw):
        branch = lambda: [linear(draw, a, b) for a, b in zip(self.WIDTHS, self.WIDTHS[1:])]
        return {"branches": [branch() for _ in range(4)], "head": linear(draw, 1024, 10)}

    def logits(self, weights, state, inputs, key):
        encodings = []
        for branch, x in zip(weights["branches"], inputs):
            for layer in branch:
                x = jax.nn.relu(apply(layer, x))
            encodings.append(x)
        return apply(weights["head"], jnp.concatenate(encodings, 1)), state


@jax.custom_vjp
def reverse(x):
    return x


reverse.defvjp(lambda x: (x, None), lambda _, gradient: (-0.1 * gradient,))


class Ebr(Net):
    """Explicit basis reallocation between two encoders of 256 features: heads, decoders and a discriminator."""

    shapes = [(400,)] * 2
    clip = 1e-3
    BLOCKS = {"head": [256, 1024, 512], "decoder": [512, 1024, 256]}

    def weights(self, draw):
        def branch():
            weights = {"encoder": linear(draw, 400, 256), "norm": {"w": np.ones(512), "b": np.zeros(512)}}
            for name, widths in self.BLOCKS.items():
                weights[name] = [linear(draw, a, b) for a, b in zip(widths, widths[1:])]
            return weights

        psi = [linear(draw, 512, 256), linear(draw, 256, 2)]
        return {"branches": [branch() for _ in range(2)], "psi": psi, "classifier": linear(draw, 512, 10)}

    def loss(self, weights, state, inputs, targets, key):
        two = lambda layers, x: apply(layers[1], jax.nn.relu(apply(layers[0], x)))
        loss, encodings = 0.0, []
        for modality, (branch, x) in enumerate(zip(weights["branches"], inputs)):
            encoding = jax.nn.relu(apply(branch["encoder"], x))
            latent = layer_norm(branch["norm"], two(branch["head"], encoding))
            guess = two(weights["psi"], reverse(latent))
            loss += cross_entropy(guess, jnp.full(len(x), modality))
            encodings.append(two(branch["decoder"], latent))
        return loss + cross_entropy(apply(weights["classifier"], jnp.concatenate(encodings, 1)), targets), state


NETS = {
    "cnn": Cnn,
    "smil": Smil,
    "smil_image": lambda: Unimodal(SmilImage()),
    "smil_sound": lambda: Unimodal(SmilSound()),
    "mlp": Mlp,
    "ebr": Ebr,
}


def training_step(workload):
    """A function that trains `workload` for one step."""
    name, batch = workload.rsplit("_", 1)
    net, draw = NETS[name](), np.random.default_rng(0)
    single = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)
    weights, state = single(net.weights(draw)), single(net.state())
    moments = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    inputs = [jnp.asarray(draw.normal(size=(int(batch), *shape)), jnp.float32) for shape in net.shapes]
    targets = jnp.asarray(draw.integers(10, size=int(batch)))

    @lambda f: jax.jit(f, donate_argnums=0)
    def advance(everything, inputs, targets):
        weights, (first, second), state, step, key = everything
        key, own = jax.random.split(key)
        (loss, state), gradients = jax.value_and_grad(net.loss, has_aux=True)(weights, state, inputs, targets, own)
        if net.clip is not None:
            norm = jnp.sqrt(sum((g * g).sum() for g in jax.tree.leaves(gradients)))
            gradients = jax.tree.map(lambda g: g * jnp.minimum(1.0, net.clip / (norm + 1e-6)), gradients)
        step = step + 1
        first = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, first, gradients)
        second = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, second, gradients)
        scale, root = 1 / (1 - BETAS[0] ** step), 1 / (1 - BETAS[1] ** step)
        move = lambda w, m, v: w - RATE * (DECAY * w + m * scale / (jnp.sqrt(v * root) + EPSILON))
        return (jax.tree.map(move, weights, first, second), (first, second), state, step, key), loss

    everything = (weights, tuple(moments), state, jnp.zeros((), jnp.float32), jax.random.key(0))

    def step():
        nonlocal everything
        everything, loss = advance(everything, inputs, targets)
        jax.block_until_ready(loss)
        jax.block_until_ready(everything)

    return step


def matrix_product():
    draw = np.random.default_rng(0)
    a, b = (jnp.asarray(draw.normal(size=(GEMM, GEMM)), jnp.float32) for _ in range(2))
    product = jax.jit(lambda a, b: a @ b)
    return lambda: product(a, b).block_until_ready()


def step_of(workload):
    return matrix_product() if workload == "gemm" else training_step(workload)


if __name__ == "__main__":
    answer(step_of, lambda workload: {"workload": workload, "variant": "jax"})
