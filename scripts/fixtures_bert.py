#!/usr/bin/env python3
"""A small BERT with random weights and what it makes of three notes, for the test of pretrained text encoders.

    python scripts/fixtures_bert.py

Writes crates/mmcollapse-data/tests/fixtures/bert: config.json, vocab.txt and model.safetensors as the Hugging Face hub
holds them (2 layers of width 32, 4 heads, 60 word pieces, at most 24 tokens), and expected.json: the tokens of each note
with and without lower case, the mean of the last hidden states over the tokens, and the state of the first token.
Tokens and network are written from the paper (Devlin et al. 2019) and computed in f64. Needs numpy.
"""

import json
import math
import pathlib
import struct
import unicodedata

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "crates/mmcollapse-data/tests/fixtures/bert"
WIDTH, HEADS, LAYERS, HIDDEN, POSITIONS, EPSILON = 32, 4, 2, 64, 24, 1e-12
VOCABULARY = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] . , ; : ! ( ) / - patient admit ##ted with sep ##sis treat ##ed anti ##bio ##tics "
    "cafe au la ##it spot ##s bp 1 ##20 80 stable Patient Caf ##é BP the a of hip fracture surgery discharge ##d home "
    "chest pain rule out Lait no fever cough ##ing lung clear"
).split()
NOTES = [
    "Patient admitted with sepsis; treated with antibiotics.",
    "Café-au-Lait spots,\tquadriplegic: BP 120/80 (stable)!\u00a0",
    "The patient treated with surgery of the hip: a fracture. Discharged home, no fever; no coughing, lung clear, chest "
    "pain ruled out.",
]


def words(text, lower):
    """BERT's basic tokenizer: control characters out, lower case without accents if asked, punctuation apart."""
    text = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    if lower:
        text = unicodedata.normalize("NFD", text.lower())
        text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    ascii_marks = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    apart = (f" {c} " if c in ascii_marks or unicodedata.category(c)[0] == "P" else c for c in text)
    return "".join(apart).split()


def pieces(word):
    """The longest piece that fits, again and again; a word that does not come out is unknown as a whole."""
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in VOCABULARY:
                break
        else:
            return ["[UNK]"]
        found.append(piece)
        start = end
    return found


def tokens(text, lower):
    inner = [piece for word in words(text, lower) for piece in pieces(word)]
    return [VOCABULARY.index(piece) for piece in ["[CLS]", *inner[: POSITIONS - 2], "[SEP]"]]


def weights(rng):
    """By the names of `transformers`, at a scale at which every part matters."""
    made = {}

    def matrix(name, rows, columns):
        made[name] = rng.normal(0, 1 / math.sqrt(columns), (rows, columns))

    def dense(name, out, inputs):
        matrix(f"{name}.weight", out, inputs)
        made[f"{name}.bias"] = rng.normal(0, 0.1, out)

    def norm(name):
        made[f"{name}.LayerNorm.weight"] = rng.normal(1, 0.1, WIDTH)
        made[f"{name}.LayerNorm.bias"] = rng.normal(0, 0.1, WIDTH)

    matrix("bert.embeddings.word_embeddings.weight", len(VOCABULARY), WIDTH)
    matrix("bert.embeddings.position_embeddings.weight", POSITIONS, WIDTH)
    matrix("bert.embeddings.token_type_embeddings.weight", 2, WIDTH)
    norm("bert.embeddings")
    for i in range(LAYERS):
        layer = f"bert.encoder.layer.{i}"
        for part in ["query", "key", "value"]:
            dense(f"{layer}.attention.self.{part}", WIDTH, WIDTH)
        dense(f"{layer}.attention.output.dense", WIDTH, WIDTH)
        norm(f"{layer}.attention.output")
        dense(f"{layer}.intermediate.dense", HIDDEN, WIDTH)
        dense(f"{layer}.output.dense", WIDTH, HIDDEN)
        norm(f"{layer}.output")
    # As in the real files: a head that the embedding does not use.
    dense("cls.seq_relationship", 2, WIDTH)
    return {name: tensor.astype(np.float32) for name, tensor in made.items()}


def forward(w, ids):
    """The last hidden states, [tokens, WIDTH]."""

    def dense(name, x):
        return x @ w[f"{name}.weight"].astype(float).T + w[f"{name}.bias"]

    def norm(name, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return scaled * w[f"{name}.LayerNorm.weight"] + w[f"{name}.LayerNorm.bias"]

    def gelu(x):
        return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    def attend(layer, x):
        size, mixed = WIDTH // HEADS, []
        query, key, value = (dense(f"{layer}.attention.self.{part}", x) for part in ["query", "key", "value"])
        for head in range(HEADS):
            of = slice(head * size, (head + 1) * size)
            scores = query[:, of] @ key[:, of].T / math.sqrt(size)
            odds = np.exp(scores - scores.max(-1, keepdims=True))
            mixed.append(odds / odds.sum(-1, keepdims=True) @ value[:, of])
        return np.concatenate(mixed, -1)

    embeddings = "bert.embeddings"
    x = w[f"{embeddings}.word_embeddings.weight"].astype(float)[ids]
    x = x + w[f"{embeddings}.position_embeddings.weight"][: len(ids)] + w[f"{embeddings}.token_type_embeddings.weight"][0]
    x = norm(embeddings, x)
    for i in range(LAYERS):
        layer = f"bert.encoder.layer.{i}"
        x = norm(f"{layer}.attention.output", x + dense(f"{layer}.attention.output.dense", attend(layer, x)))
        inner = gelu(dense(f"{layer}.intermediate.dense", x))
        x = norm(f"{layer}.output", x + dense(f"{layer}.output.dense", inner))
    return x


def safetensors(tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in sorted(tensors.items()):
        bytes_ = tensor.astype("<f4").tobytes()
        places = [len(data), len(data) + len(bytes_)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": places}
        data += bytes_
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def main():
    w = weights(np.random.default_rng(0))
    FOLDER.mkdir(parents=True, exist_ok=True)
    # As sparse as the oldest files of the hub, which say neither `model_type` nor `layer_norm_eps`.
    config = {
        "hidden_act": "gelu",
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "max_position_embeddings": POSITIONS,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "type_vocab_size": 2,
        "vocab_size": len(VOCABULARY),
    }
    (FOLDER / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (FOLDER / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (FOLDER / "model.safetensors").write_bytes(safetensors(w))
    expected = []
    for note in NOTES:
        ids = tokens(note, lower=True)
        states = forward(w, ids)
        expected.append(
            {
                "note": note,
                "tokens": ids,
                "cased": tokens(note, lower=False),
                "mean": [round(x, 7) for x in states.mean(0).tolist()],
                "first": [round(x, 7) for x in states[0].tolist()],
            }
        )
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
