"""``dst-studio settings``: where jobs run and what the live model does meanwhile, as the Train page shows it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from studio.cli_common import Home, sentences
from studio.workspace import open_workspace


def settings(
    backend: Annotated[
        str | None,
        typer.Option(help="Where jobs train: local, torchrun:2, accelerate:2 (processes), ray@http://HEAD:8265, ray:4gpu@..."),
    ] = None,
    while_training: Annotated[
        str | None, typer.Option(help="The live model while a job has the GPU: cpu (answers there, slower) or wait.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    home: Home = None,
) -> None:
    """Print where jobs train and who has the GPU; with options, change that for jobs started from now on."""
    from studio.services import lease, placement

    with sentences():
        ws = open_workspace(home)
        if backend is not None:
            placement.set_default_backend(ws, backend)
        if while_training is not None:
            lease.set_while_training(ws, while_training)
        found = placement.placement(ws)
        print(json.dumps(asdict(found), ensure_ascii=False, indent=1) if as_json else "\n".join(found.sentences))
