#!/usr/bin/env python3
"""Spectrograms of scipy and principal components of numpy, for the tests of avmnist-hard's parts.

    python scripts/fixtures_hard.py

Writes crates/mmcollapse-data/tests/fixtures/hard.json, all in f64 and of formula-made input that the Rust test makes
again: magnitudes in dB of scipy.signal.stft with avmnist-hard's window and hop (some rows only, and the mean and the
extremes over all), and images reconstructed from the 4 first right singular vectors of numpy.linalg.svd. Needs numpy
and scipy.
"""

import json
import pathlib

import numpy as np
import scipy.signal

ROOT = pathlib.Path(__file__).resolve().parent.parent
WINDOW, HOP, TOP_DB = 222, 72, 80.0
COMPONENTS, IMAGES, PIXELS = 4, 120, 90


def congruential(n):
    """Numbers of [0, 2**31) of a linear congruential generator."""
    state, numbers = 1, []
    for _ in range(n):
        state = (state * 1103515245 + 12345) % 2**31
        numbers.append(state)
    return np.array(numbers)


def tone_in_noise(n):
    i = np.arange(n)
    noise = 0.1 * (congruential(n) / 2**30 - 1)
    return 0.5 * np.sin(2 * np.pi * 440 * i / 8000) * np.exp(-i / 4000) + noise


def decibels(y):
    """librosa.amplitude_to_db(abs(librosa.stft(y, pad_mode="constant")), ref=1), by scipy."""
    window = scipy.signal.get_window("hann", WINDOW)
    _, _, z = scipy.signal.stft(
        y, window=window, nperseg=WINDOW, noverlap=WINDOW - HOP, boundary="zeros", padded=False, detrend=False
    )
    magnitude = np.abs(z) * window.sum()  # scipy divides by the window's sum
    db = 20 * np.log10(np.maximum(magnitude, 1e-5))
    return np.maximum(db, db.max() - TOP_DB)


def images():
    """Three patterns of unequal strength, a ramp and noise, as whole grey levels."""
    draws = congruential(IMAGES * (PIXELS + 3)).reshape(IMAGES, PIXELS + 3) / 2**31
    p = np.arange(PIXELS)
    patterns = np.stack([np.abs(np.sin(p / 7)), np.abs(np.cos(p / 11)), (p % 9) / 9.0])
    levels = draws[:, :3] * np.array([150.0, 90.0, 60.0]) @ patterns + draws[:, 3:] * 20 - 10
    return np.clip(np.floor(levels), 0, 255)


if __name__ == "__main__":
    clips = []
    for n in (8000, 4000, 300):
        db = decibels(tone_in_noise(n))
        rows = {str(k): [round(x, 8) for x in db[k].tolist()] for k in (0, 12, 60, 111)}
        clips.append({"samples": n, "shape": list(db.shape), "rows": rows, "mean": db.mean(), "least": db.min()})
        print(n, db.shape, db.mean())
    x = images()
    mean = x.mean(axis=0)
    _, s, v = np.linalg.svd(x - mean, full_matrices=False)
    print("variances", (s**2 / IMAGES)[:6])
    v = v[:COMPONENTS]
    back = mean + (x - mean) @ v.T @ v
    pca = {
        "images": IMAGES,
        "pixels": PIXELS,
        "sum": x.sum(),
        "variances": (s**2 / IMAGES)[:COMPONENTS].tolist(),
        "back": {str(i): [round(y, 8) for y in back[i].tolist()] for i in (0, 57, 119)},
    }
    path = ROOT / "crates/mmcollapse-data/tests/fixtures/hard.json"
    path.write_text(json.dumps({"clips": clips, "pca": pca}).replace('{"samples"', '\n{"samples"') + "\n")
