"""Arrays of CREMA-D for `mmcollapse reproduce ... --dataset`: python scripts/cremad_arrays.py CREMA-D OUT

CREMA-D is the folder of the download, with AudioWAV/ and VideoFlash/. OUT gets cremad.npz and cremad.yaml. Needs numpy, scipy and
ffmpeg. A clip is called ACTOR_SENTENCE_EMOTION_LEVEL, such as 1001_DFA_ANG_XX.
"""

import pathlib
import subprocess
import sys

import numpy as np
from scipy.io import wavfile
from scipy.signal import stft

EMOTIONS = ["ANG", "DIS", "FEA", "HAP", "NEU", "SAD"]
RATE = 16000
MELS, FRAMES, SIDE = 64, 64, 48

YAML = """\
name: cremad
arrays: cremad.npz
classes: [anger, disgust, fear, happy, neutral, sad]
modalities:
  audio: {}
  video: {}
groups: actor
weak: video
"""


def mel_filters(bins):
    """Triangles at equal distances on the mel scale, [MELS, bins]."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    frequencies = np.linspace(0, RATE / 2, bins)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0, np.minimum((frequencies - low) / (mid - low), (high - frequencies) / (high - mid)))


def log_mel(path):
    """Log-mel spectrogram [1, MELS, FRAMES]: the clip's frames averaged into equal parts."""
    rate, sound = wavfile.read(path)
    if rate != RATE or sound.ndim != 1:
        sys.exit(f"{path}: expected one channel at {RATE} Hz, got {sound.ndim} dimensions at {rate} Hz")
    _, _, spectrum = stft(sound / 32768, RATE, nperseg=512, noverlap=352)
    mel = np.log(mel_filters(spectrum.shape[0]) @ np.abs(spectrum) ** 2 + 1e-8)
    if mel.shape[1] < FRAMES:
        mel = np.pad(mel, ((0, 0), (0, FRAMES - mel.shape[1])), mode="edge")
    parts = np.array_split(mel, FRAMES, axis=1)
    return np.stack([part.mean(1) for part in parts], axis=1)[None].astype(np.float32)


def middle_frame(path, seconds):
    """The grey frame in the middle of a clip, [1, SIDE, SIDE] in 0..1; none if ffmpeg finds no frame."""
    command = ["ffmpeg", "-v", "error", "-ss", f"{seconds / 2:.3f}", "-i", str(path), "-frames:v", "1"]
    command += ["-vf", f"scale={SIDE}:{SIDE},format=gray", "-f", "rawvideo", "-"]
    raw = subprocess.run(command, capture_output=True, check=False).stdout
    if len(raw) != SIDE * SIDE:
        return None
    return np.frombuffer(raw, np.uint8).reshape(1, SIDE, SIDE).astype(np.float32) / 255


def main(source, out):
    source, out = pathlib.Path(source), pathlib.Path(out)
    clips = sorted((source / "AudioWAV").glob("*.wav"))
    if not clips:
        sys.exit(f"{source / 'AudioWAV'}: expected .wav files, found none")
    audio, video, labels, actors, left_out = [], [], [], [], 0
    for place, clip in enumerate(clips):
        actor, _, emotion, _ = clip.stem.split("_")
        seconds = len(wavfile.read(clip)[1]) / RATE
        frame = middle_frame(source / "VideoFlash" / f"{clip.stem}.flv", seconds)
        if frame is None:
            left_out += 1
            continue
        audio.append(log_mel(clip))
        video.append(frame)
        labels.append(EMOTIONS.index(emotion))
        actors.append(int(actor))
        if place % 500 == 0:
            print(f"{place} of {len(clips)} clips", file=sys.stderr)
    out.mkdir(parents=True, exist_ok=True)
    arrays = {"audio": np.stack(audio), "video": np.stack(video)}
    np.savez(out / "cremad.npz", **arrays, labels=np.array(labels), actor=np.array(actors))
    (out / "cremad.yaml").write_text(YAML)
    print(f"{len(labels)} clips written, {left_out} without a readable frame left out", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
