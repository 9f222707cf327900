"""Synthetic voices behind one interface: ``Speech(models).say(text, voice) -> (samples, rate)``.

flite, espeak-ng and festival are programs of the operating system; Kokoro, Piper and Hibari are Python packages or
model folders, each needed only for its own voices. A *held-out* voice is never used in training, in no stage: it stands
for a speaker the model has not heard. Voices of one person are held out together.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

Audio = tuple[np.ndarray, int]  # float32 samples (n,), rate in Hz


class VoiceError(RuntimeError):
    """A voice that is unknown or cannot speak here. The message says what to install or to choose."""


@dataclass(frozen=True)
class Voice:
    """``name`` is ``engine-variant``; ``person`` whose voice it is; ``share`` weighs how often it is drawn."""

    name: str
    person: str
    held_out: bool = False
    share: float = 1.0

    @property
    def engine(self) -> str:
        return self.name.partition("-")[0]

    @property
    def variant(self) -> str:
        return self.name.partition("-")[2]


# Natural voices are drawn more often than formant synthesis: espeak has many variants but one sound.
_ESPEAK = (
    *("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-us-nyc", "en-us+m1", "en-us+m3", "en-us+m5", "en+m7"),
    *("en-us+f1", "en-us+f2", "en+f3", "en+f4", "en-029+f5"),
)
_KOKORO = (
    *("af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole", "af_river", "af_sarah"),
    *("af_sky", "am_adam", "am_echo", "am_eric", "am_liam", "am_michael", "am_onyx", "am_santa"),
    *("bf_alice", "bf_emma", "bf_lily", "bm_daniel", "bm_fable", "bm_george"),
)
_KOKORO_HELD_OUT = {"af_heart", "am_michael", "bf_emma"}

VOICES: dict[str, Voice] = {
    voice.name: voice
    for voice in (
        Voice("flite-awb", "awb", share=3),
        Voice("flite-kal16", "kal", share=2),
        Voice("flite-slt", "slt", share=3),
        Voice("flite-rms", "rms", held_out=True),
        Voice("festival-kal", "kal", share=2),
        Voice("festival-slt", "slt", share=3),
        Voice("festival-ked", "ked", held_out=True),
        *(Voice(f"espeak-{variant}", f"espeak {variant}") for variant in _ESPEAK),
        *(Voice(f"kokoro-{name}", f"kokoro {name}", name in _KOKORO_HELD_OUT) for name in _KOKORO),
        Voice("hibari-heart", "kokoro af_heart", held_out=True),  # distilled from that Kokoro voice
        Voice("piper-joe", "joe", held_out=True),
    )
}
_FESTIVAL = {"kal": "kal_diphone", "ked": "ked_diphone", "slt": "cmu_us_slt_arctic_hts"}
_PROGRAMS = {"flite": "flite", "espeak": "espeak-ng", "festival": "festival"}
_PACKAGES = {"kokoro": "hibari", "hibari": "hibari", "piper": "piper"}  # hibari turns Kokoro's text into phonemes


def choose(names: str) -> list[Voice]:
    """The voices of a comma-separated list of names and groups.

    Groups: ``seen`` (every training voice), ``unseen`` (every held-out voice), or an engine: its training voices.

    Raises:
        VoiceError: an unknown name.
    """
    chosen: dict[str, Voice] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name in VOICES:
            found = [VOICES[name]]
        elif name in ("seen", "unseen"):
            found = [voice for voice in VOICES.values() if voice.held_out == (name == "unseen")]
        else:
            found = [voice for voice in VOICES.values() if voice.engine == name and not voice.held_out]
        if not found:
            raise VoiceError(f"no voice {name!r}; choose seen, unseen, an engine or of {', '.join(VOICES)}")
        chosen |= {voice.name: voice for voice in found}
    return list(chosen.values())


class Speech:
    """Speaks with every engine; programs and models are started on first use and then kept.

    Args:
        models: folder with ``kokoro/`` (``model.onnx``, ``vocab.json``, ``voices/*.bin``) and ``piper/``
            (``en_US-joe-medium.onnx`` with its ``.onnx.json``); needed for those voices only.
    """

    def __init__(self, models: Path | None = None) -> None:
        self.models = models
        self._engines: dict[str, Callable[[str, str], Audio]] = {
            "flite": _flite,
            "espeak": _espeak,
            "festival": _Festival(),
            "kokoro": self._kokoro,
            "hibari": _hibari,
            "piper": self._piper,
        }

    def missing(self, voice: Voice) -> str:
        """What this voice lacks here, as a sentence; "" if it can speak."""
        program, package = _PROGRAMS.get(voice.engine), _PACKAGES.get(voice.engine)
        if program and not shutil.which(program):
            return f"voice {voice.name} needs the program {program}; install it with the system's package manager"
        if package and not importlib.util.find_spec(package):
            return f"voice {voice.name} needs the Python package {package}; install it or put it on PYTHONPATH"
        if voice.engine in ("kokoro", "piper"):
            file = self._kokoro_style(voice.variant) if voice.engine == "kokoro" else self._piper_model()
            if self.models is None or not file.is_file():
                return f"voice {voice.name} needs {file}; name the folder of the voice models"
        return ""

    def say(self, text: str, voice: Voice) -> Audio:
        """Speak a transcript in spoken form.

        Returns:
            float32 samples (n,) and their rate in Hz, as the engine makes them.

        Raises:
            VoiceError: the engine is not here or made no sound.
        """
        if lacking := self.missing(voice):
            raise VoiceError(lacking)
        samples, rate = self._engines[voice.engine](_letters_said(text), voice.variant)
        if not len(samples) or not samples.any():
            raise VoiceError(f"voice {voice.name} made no sound for {text!r}")
        return samples, rate

    def _kokoro_style(self, name: str) -> Path:
        return (self.models or Path("models")) / "kokoro" / "voices" / f"{name}.bin"

    def _piper_model(self) -> Path:
        return (self.models or Path("models")) / "piper" / "en_US-joe-medium.onnx"

    def _kokoro(self, text: str, name: str) -> Audio:
        """Kokoro-82M: phonemes by Hibari's front end; the style vector is chosen by the number of phonemes."""
        folder = (self.models or Path("models")) / "kokoro"
        session, vocabulary = _kokoro_model(folder)
        tokens = [vocabulary[char] for char in _phonemes(british=name.startswith("b"))(text) if char in vocabulary][:509]
        styles = np.fromfile(self._kokoro_style(name), np.float32).reshape(-1, 256)
        feed = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": styles[len(tokens) - 1][None],
            "speed": np.ones(1, np.float32),
        }
        return session.run(None, feed)[0].reshape(-1), 24_000

    def _piper(self, text: str, _name: str) -> Audio:
        voice = _piper_voice(self._piper_model())
        chunks = list(voice.synthesize(text))
        return np.concatenate([chunk.audio_float_array for chunk in chunks]), chunks[0].sample_rate


def _letters_said(text: str) -> str:
    """Runs of letters as initials: in "nine a m" engines take the "a" for the article, in "A.M." for the letter."""
    return re.sub(r"\b[a-z](?: [a-z])+\b", lambda run: run[0].upper().replace(" ", ".") + ".", text)


def _read_wav(data: bytes) -> Audio:
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return samples, rate


def _program(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise VoiceError(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip() or done.returncode}")
    return done.stdout


def _flite(text: str, name: str) -> Audio:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        _program(["flite", "-voice", name, "-t", text, "-o", file.name])
        return _read_wav(Path(file.name).read_bytes())


def _espeak(text: str, name: str) -> Audio:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        _program(["espeak-ng", "-v", name, "-w", file.name, "--", text])
        return _read_wav(Path(file.name).read_bytes())


class _Festival:
    """One festival process that is kept: its start takes longer than its speech."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, text: str, name: str) -> Audio:
        if self._process is None or self._process.poll() is not None:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                ["festival", "--pipe"], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        quoted = re.sub(r'[\\"]', "", text)
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            self._process.stdin.write(
                f"(voice_{_FESTIVAL[name]})\n"
                f'(utt.save.wave (utt.synth (Utterance Text "{quoted}")) "{file.name}" (quote riff))\n'
                '(format t "done\\n")\n(fflush nil)\n'
            )
            self._process.stdin.flush()
            self._process.stdout.readline()
            data = Path(file.name).read_bytes()
        if not data:
            raise VoiceError(f"festival made no sound for {text!r}")
        return _read_wav(data)


def _hibari(text: str, name: str) -> Audio:
    speaker = _hibari_voice(name)
    return speaker(text, seed=0), speaker.sample_rate


@cache
def _hibari_voice(name: str) -> Any:
    return importlib.import_module("hibari").Hibari(name)


@cache
def _phonemes(british: bool) -> Callable[[str], str]:
    return importlib.import_module("hibari.g2p").G2P(british=british)


@cache
def _kokoro_model(folder: Path) -> tuple[Any, dict[str, int]]:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the synthesis runs one process a core
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    return session, vocabulary.get("vocab", vocabulary)


@cache
def _piper_voice(model: Path) -> Any:
    return importlib.import_module("piper").PiperVoice.load(model)
