"""What does the guard against recordings without speech let through, and what does it swallow?

    python -m tests.bench.guard --noise FOLDER --speech FOLDER

Prints counts over every recording below the two folders; speech is judged a second time with noise 5 dB below it.
"""

import argparse
import itertools
from pathlib import Path

from engine import audio
from engine.tracking.guard import holds_no_speech

SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}
SHORT = 0.5  # seconds; shorter recordings are always heard
SNR_DB = 5.0


def recordings(folder):
    """Every recording below a folder, with its name."""
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix in SUFFIXES:
            yield path.name, audio.load(path)


def unheard(samples):
    """Whether the tracker would answer that nobody spoke."""
    return holds_no_speech(samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noise", required=True)
    parser.add_argument("--speech", required=True)
    folders = parser.parse_args()
    noises = list(recordings(folders.noise))
    heard = [name for name, samples in noises if not unheard(samples)]
    print(f"noise: {len(noises) - len(heard)} of {len(noises)} told apart; heard: {', '.join(heard) or 'none'}")
    speech = [(name, samples) for name, samples in recordings(folders.speech) if len(samples) >= SHORT * audio.SAMPLE_RATE]
    plain = [name for name, samples in speech if unheard(samples)]
    mixed = zip(speech, itertools.cycle(samples for _, samples in noises), strict=False)
    noisy = [name for (name, samples), noise in mixed if unheard(audio.add_noise(samples, noise, SNR_DB))]
    print(f"speech of {SHORT} s and more: {len(plain)} of {len(speech)} lost ({', '.join(plain) or 'none'})")
    print(f"with noise {SNR_DB:.0f} dB below: {len(noisy)} of {len(speech)} lost ({', '.join(noisy) or 'none'})")


if __name__ == "__main__":
    main()
