#!/usr/bin/env python3
"""MFCC of librosa 0.11, for the test of crates/mmcollapse-data/src/mfcc.rs.

    HF_HOME=... python scripts/fixtures_mfcc.py

Writes crates/mmcollapse-data/tests/fixtures/mfcc.json: librosa.feature.mfcc(y=y, sr=8000, n_mfcc=20) in f64 of some
formula-made signals and of some FSDD clips (every third sample, as avMNIST takes them; only the coefficients are
kept, not the clips). Needs librosa 0.11, numpy, pyarrow, soundfile. Prints how far librosa itself is off when it is
given the same clips in f32.
"""

import io
import json
import os
import pathlib
import re
import warnings

import librosa
import numpy as np
import pyarrow.parquet
import soundfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The shortest and the longest recording of all, and some of the speakers that avMNIST uses.
CLIPS = ["SHORTEST", "LONGEST", "0_jackson_0", "3_nicolas_20", "6_theo_49", "9_jackson_33", "7_nicolas_14"]


def tone_in_noise(n):
    """A decaying tone plus noise of a linear congruential generator: the Rust test makes the same numbers."""
    state, y = 1, np.zeros(n)
    for i in range(n):
        state = (state * 1103515245 + 12345) % 2**31
        y[i] = 0.5 * np.sin(2 * np.pi * 440 * i / 8000) * np.exp(-i / 4000) + 0.1 * (state / 2**30 - 1)
    return y


def fsdd():
    manifest = (ROOT / "data/fsdd.yaml").read_text()
    repo = re.search(r"^  repo: (\S+)$", manifest, re.M)[1]
    revision = re.search(r"^  revision: (\S+)$", manifest, re.M)[1]
    home = pathlib.Path(os.environ.get("HF_HOME", pathlib.Path.home() / ".cache/huggingface"))
    snapshot = home / "hub" / ("datasets--" + repo.replace("/", "--")) / "snapshots" / revision
    clips = {}
    for path in re.findall(r"^  - { path: (\S+), part: \S+ }$", manifest, re.M):
        for row in pyarrow.parquet.read_table(snapshot / path).to_pylist():
            samples, _ = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float64")
            clips[pathlib.Path(row["audio"]["path"]).stem] = samples
    by_length = sorted(clips, key=lambda name: (len(clips[name]), name))
    names = {"SHORTEST": by_length[0], "LONGEST": by_length[-1]}
    return {names.get(name, name): clips[names.get(name, name)] for name in CLIPS}


def mfcc(y):
    return librosa.feature.mfcc(y=y, sr=8000, n_mfcc=20)


def entry(name, y):
    coefficients = mfcc(y)
    off = np.abs(coefficients - mfcc(y.astype(np.float32))).max()
    print(f"{name}: {len(y)} samples, {coefficients.shape[1]} frames, librosa in f32 differs by {off:.1e}")
    return {
        "name": name,
        "samples": len(y),
        "frames": coefficients.shape[1],
        "mfcc": [round(x, 6) for x in coefficients.ravel().tolist()],
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="n_fft=2048 is too large")
    assert librosa.__version__.startswith("0.11"), librosa.__version__
    made = [entry("tone_in_noise", tone_in_noise(n)) for n in (1, 100, 1023, 2048, 3000, 12000)]
    made.append(entry("silence", np.zeros(1000)))
    clips = [entry(name, y[::3]) for name, y in fsdd().items()]
    path = ROOT / "crates/mmcollapse-data/tests/fixtures/mfcc.json"
    path.write_text(json.dumps({"made": made, "fsdd": clips}).replace('{"name"', '\n{"name"') + "\n")
