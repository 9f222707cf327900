"""What `torchrun` starts in the tests: train a recipe given as JSON. Arguments: recipe, manifest, run folder, further options."""

import json
import sys
from pathlib import Path

from engine.config import parse_recipe
from engine.dialogue import read_manifest
from engine.training import train

recipe, manifest, out, *options = sys.argv[1:]
dialogues = read_manifest(manifest)
train(
    parse_recipe(json.loads(Path(recipe).read_text())),
    dialogues,
    Path(out),
    device="cpu",
    cache=Path(out) / "cache",
    resume="--resume" in options,
    shard="--shard" in options,
    watched=[dialogue for dialogue in dialogues if dialogue.split == "dev"] if "--watch" in options else [],
)
tasks = Path("/proc/self/task")
names = [(task / "comm").read_text().strip() for task in tasks.iterdir()] if tasks.is_dir() else []
if "pt_gloo_runloop" in names:
    sys.exit("threads of the processes' talk are left: they would outlive Python and might abort its end")
