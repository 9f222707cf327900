"""Stands in for ``python -m engine``: keeps the promises of docs/architecture.md about files and exit codes, learns nothing.

``FAKE_ENGINE`` chooses what happens: nothing special, ``fail``, ``nan``, ``crash``, ``deaf`` (does not hear a wish to stop),
``regress`` (the new checkpoint understands nothing), ``unscored`` (scoring fails), ``full`` (scoring finds the disk full) or
``another`` (another result than otherwise);
``FAKE_STEP`` is the seconds a step takes, ``FAKE_SAVE`` those of a save when it is stopped; while
the file ``FAKE_HOLD`` is there, scoring goes no further than two turns.
"""

import argparse
import json
import os
import shutil
import sys
import time
import tomllib
from pathlib import Path

MODE = os.environ.get("FAKE_ENGINE", "")
SECONDS = float(os.environ.get("FAKE_STEP", "0.01"))
SAVE_SECONDS = float(os.environ.get("FAKE_SAVE", "0"))


def train(arguments: argparse.Namespace) -> int:
    out = arguments.out
    if (out / "checkpoint").exists():
        print("error: the folder holds a finished run", file=sys.stderr)
        return 2
    resume = out / "resume" / "step"
    out.mkdir(parents=True, exist_ok=True)
    (out / "stop").unlink(missing_ok=True)
    if arguments.keep:
        checkpoint(arguments, "stopped")
        return finish(out, "stopped", int(resume.read_text()), None, 3)
    for left in ("last_good", "stopped"):
        shutil.rmtree(out / left, ignore_errors=True)
    done = int(resume.read_text()) if arguments.resume and resume.exists() else 0
    metrics = out / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    metrics.write_text("".join(line + "\n" for line in lines[:done]))
    total = sum(stage["steps"] for stage in tomllib.loads(Path(arguments.recipe).read_text())["stages"])
    for step in range(done + 1, total + 1):
        time.sleep(SECONDS)
        if MODE == "nan" and step == 3:
            checkpoint(arguments, "last_good")
            return finish(out, "failed", step - 1, "the loss became nan", 1, "loss")
        line = {
            "stage": "stage2",
            "step": step,
            "total_steps": total,
            "loss": 1.0 if MODE == "another" else 1 / step,
            "lr": 0.1,
            "grad_norm": 1.0,
        }
        line |= {"tokens": 10, "turns": 2, "seconds": SECONDS, "eta_seconds": SECONDS * (total - step)}
        if arguments.watch and (step % 5 == 1 or step == total):
            line |= watch(arguments, step)
        with metrics.open("a") as file:
            file.write(json.dumps(line) + "\n")
        resume.parent.mkdir(exist_ok=True)
        resume.with_suffix(".partial").write_text(str(step))
        resume.with_suffix(".partial").replace(resume)
        if MODE == "fail" and step == 2:
            return finish(out, "failed", step, "the loss became nan; lower the learning rate, then resume", 1)
        if MODE == "crash" and step == 2:
            raise RuntimeError("CUDA out of memory")
        if (out / "stop").exists() and MODE != "deaf":
            save(out)
            checkpoint(arguments, "stopped")
            return finish(out, "stopped", step, None, 3)
    checkpoint(arguments, "checkpoint")
    return finish(out, "finished", total, None, 0)


def save(out: Path) -> None:
    """Write something large bit by bit."""
    (out / "pulse.json").write_text(json.dumps({"doing": "saving", "usual_seconds": None, "slowest_seconds": None}))
    with (out / "resume" / "large.partial").open("w") as file:
        begun = time.monotonic()
        while time.monotonic() - begun < SAVE_SECONDS:
            file.write("much")
            file.flush()
            time.sleep(0.02)
    (out / "resume" / "large.partial").unlink()


def checkpoint(arguments: argparse.Namespace, folder: str) -> None:
    """Write the files of one below the run's folder."""
    place = arguments.out / folder
    place.mkdir(exist_ok=True)
    for name in ("checkpoint.json", "connector.safetensors", "ontology.json"):
        (place / name).write_text("{}" if MODE != "another" else "{ }")
    for name in ("checkpoint.json", "ontology.json"):  # it can be trained on in its turn
        if arguments.base and (arguments.base / name).exists():
            shutil.copy(arguments.base / name, place)


def watch(arguments: argparse.Namespace, step: int) -> dict:
    """Answer one turn with one word of two, the better the longer it trained."""
    said, state = "thai food please", {"restaurant": {"food": "thai", "area": "north"}}
    heard = said if step > 1 else "tie food please"
    turn = {"dialogue_id": "held out", "turn_id": 0, "said": said, "reference": state, "heard": heard}
    turn["answer"] = {"restaurant": {"food": heard.split()[0], "name": "<b>"}}
    partial = arguments.out / "samples.partial"
    partial.write_text(json.dumps({"step": step, "stage": "stage2", "of": "held_out", "turns": [turn]}))
    partial.replace(arguments.out / "samples.json")
    return {"held_out_wer": 100 / step, "held_out_wer_turns": 1, "held_out_jga": 100 - 100 / step, "held_out_seconds": 0.1}


def finish(out: Path, status: str, steps: int, error: str | None, code: int, failure: str | None = None) -> int:
    result = {"status": status, "steps": steps, "seconds": 1.0, "error": error, "failure": failure}
    (out / "result.json").write_text(json.dumps(result))
    return code


def evaluate(arguments: argparse.Namespace) -> int:
    if MODE == "full":
        raise OSError(28, "No space left on device")
    print(f"a library says something about {arguments.checkpoint}")
    name = Path(arguments.checkpoint).name
    fails = MODE == "regress" and name != "demo"
    lines = []
    for dialogue in map(json.loads, Path(arguments.manifest).read_text().splitlines()):
        for turn in dialogue["turns"]:
            if turn["speaker"] == "user":
                answer = {"dialogue_id": dialogue["dialogue_id"], "turn_id": turn["turn_id"], "transcript": turn["transcript"]}
                answer |= {
                    "state": {} if fails else turn["state"] or {},
                    "confidence": {},
                    "raw": "",
                    "valid": True,
                    "seconds": 0.1,
                }
                lines.append(json.dumps(answer) + "\n")
    with Path(arguments.predictions).open("w") as file:
        for number, line in enumerate(lines, 1):
            file.write(line)
            file.flush()
            while (hold := os.environ.get("FAKE_HOLD")) and number == 2 and Path(hold).exists():
                time.sleep(0.02)
    print(json.dumps({"wer": 10.0, "jga": 0.0 if fails else 60.0 if MODE == "another" else 50.0, "of": name}))
    return 4 if MODE == "unscored" else 0


def main() -> int:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("train")
    command.add_argument("recipe")
    command.add_argument("--manifest", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--base", type=Path)
    command.add_argument("--resume", action="store_true")
    command.add_argument("--keep", action="store_true")
    command.add_argument("--watch", type=Path)
    command.add_argument("--set", action="append", default=[])
    command.set_defaults(run=train)
    command = commands.add_parser("evaluate")
    command.add_argument("--checkpoint", required=True)
    command.add_argument("--manifest", required=True)
    command.add_argument("--json", action="store_true")
    command.add_argument("--predictions", required=True)
    command.add_argument("--resume", action="store_true")
    command.set_defaults(run=evaluate)
    arguments = parser.parse_args()
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
