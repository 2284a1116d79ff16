#!/usr/bin/env python3
"""Runs the recipes of the documents that need PyTorch, as a reader would: in an empty folder, by the pages' own commands.

    python3 scripts/check_recipes.py PROGRAM

PROGRAM is mmcollapse, built. Needs torch, safetensors, numpy, scipy, and ffmpeg (or the package imageio-ffmpeg) for CREMA-D,
of which it makes a few clips by itself. The recipe of docs/compare.md is followed by `cargo t`, where MMCOLLAPSE_PYTHON names such a Python. Exit status 0 if every recipe runs.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
from scipy.io import wavfile
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parent.parent


def page(name):
    return (ROOT / "docs" / name).read_text()


def after(text, heading):
    """What stands under a heading."""
    assert heading in text, f"there is no heading {heading!r}"
    return re.split(r"\n## ", text.split(heading, 1)[1])[0]


def fenced(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def commands(text):
    """Of the first block of commands."""
    return [line.split("  #")[0].strip() for line in fenced(text, "sh")[0].splitlines()]


class Reader:
    """Types the commands of a page in an empty folder."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.environment = dict(os.environ)

    def types(self, command, *more):
        words = shlex.split(command)
        if words[0] == "mmcollapse":
            words[0] = str(self.program)
        else:
            assert words[0] == "python", command
            words[:2] = [sys.executable, str(ROOT / words[1])]
        done = subprocess.run([*words, *more], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{command}\n{done.stdout}{done.stderr}\nexit status {done.returncode}")
        print("ran:", command, *more)
        return done.stdout + done.stderr

    def follows(self, commands):
        """Types commands; what trains does so by the smallest preset, and what is installed is there."""
        for command in commands:
            if not command.startswith("pip "):
                self.types(command, *(["--preset", "smoke"] if " reproduce " in command else []))

    def executes(self, code, names):
        """A page's piece of Python, with what it takes for granted."""
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            exec(compile(code, "the page", "exec"), names)  # noqa: S102 - it is our own page
        finally:
            os.chdir(before)
        print("ran:", code.strip().splitlines()[0], "...")


class Small(nn.Module):
    """A model of two modalities as the page has it."""

    def __init__(self):
        super().__init__()
        self.image_encoder = nn.Sequential(nn.Linear(12, 8), nn.ReLU())
        self.sound_encoder = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
        self.fused, self.head = nn.Linear(16, 10), nn.Linear(10, 3)

    def fusion(self, image, sound):
        return torch.relu(self.fused(torch.cat([image, sound], 1)))


def a_model(reader):
    """docs/diagnose.md: a model's arrays, and what the program says of them."""
    torch.manual_seed(0)
    labels = torch.arange(360) % 3
    meaning = nn.functional.one_hot(labels, 3).float()
    batches = {
        "image": (meaning @ torch.randn(3, 12) + torch.randn(360, 12)).split(40),
        "sound": (meaning @ torch.randn(3, 6) + torch.randn(360, 6)).split(40),
        "label": labels.split(40),
    }
    loader = [dict(zip(batches, batch)) for batch in zip(*batches.values())]
    model = Small()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(20):
        for batch in loader:
            fused = model.fusion(model.image_encoder(batch["image"]), model.sound_encoder(batch["sound"]))
            loss = nn.functional.cross_entropy(model.head(fused), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    reader.executes(fenced(page("diagnose.md"), "python")[0], {"model": model, "loader": loader})
    found = reader.types("mmcollapse diagnose arrays.safetensors --html diagnosis.html --json diagnosis.json")
    assert "VERDICTS" in found and (reader.folder / "diagnosis.html").stat().st_size > 0


def own_arrays(reader):
    """docs/own-data.md: tensors, the YAML, the first commands."""
    torch.manual_seed(1)
    labels = torch.arange(240) % 2
    tensors = {
        "labels": labels,
        "audio": torch.randn(240, 5) + labels[:, None],
        "video": torch.randn(240, 7) - labels[:, None],
        "speaker": torch.arange(240) // 8,
    }
    text = page("own-data.md")
    reader.executes(fenced(after(text, "## The arrays"), "python")[0], dict(tensors))
    (reader.folder / "my.yaml").write_text(fenced(after(text, "## The YAML"), "yaml")[0])
    reader.follows(commands(text))


def cremad(reader):
    """docs/own-data.md: CREMA-D, of clips with a tone and a grey that tell the emotion."""
    source = reader.folder / "CREMA-D"
    (source / "AudioWAV").mkdir(parents=True)
    (source / "VideoFlash").mkdir()
    draws = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    for actor in range(1001, 1013):
        for place, emotion in enumerate(["ANG", "DIS", "FEA", "HAP", "NEU", "SAD"]):
            name = f"{actor}_DFA_{emotion}_XX"
            tone = 0.3 * np.sin(2 * np.pi * (200 + 300 * place) * time) + 0.05 * draws.normal(size=time.size)
            wavfile.write(source / "AudioWAV" / f"{name}.wav", 16000, (32767 * tone).astype(np.int16))
            grey = f"color=c=0x{40 + 30 * place:02x}{40 + 30 * place:02x}{40 + 30 * place:02x}:s=96x72:d=1:r=10"
            film = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", grey, str(source / "VideoFlash" / f"{name}.flv")]
            subprocess.run(film, env=reader.environment, check=True)
    reader.follows(commands(after(page("own-data.md"), "## CREMA-D")))


def ffmpeg(reader, folder):
    """Whether there is ffmpeg, that of a package too."""
    if shutil.which("ffmpeg"):
        return True
    try:
        import imageio_ffmpeg
    except ImportError:
        return False
    (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    reader.environment["PATH"] = f"{folder}:{os.environ['PATH']}"
    return True


def main(program):
    subprocess.run([sys.executable, str(ROOT / "scripts/ebr_pytorch.py"), "--check"], check=True)
    for recipe in [a_model, own_arrays, cremad]:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            work = folder / "work"
            work.mkdir()
            reader = Reader(pathlib.Path(program).resolve(), work)
            if recipe is cremad and not ffmpeg(reader, folder):
                print("NOT CHECKED: the recipe of CREMA-D, as there is no ffmpeg")
                continue
            recipe(reader)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
