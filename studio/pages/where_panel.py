"""Where jobs run, who has the GPU, and what the live model does while a job trains: how it stands, and choosing it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio import backends
from studio.backends import Backend
from studio.errors import StudioError
from studio.pages import shared
from studio.services import lease, placement
from studio.workspace import Workspace

KINDS = [
    ("This machine, one process", "local"),
    ("This machine, several processes (torchrun)", "torchrun"),
    ("This machine, several processes (accelerate)", "accelerate"),
    ("A Ray cluster", "ray"),
]
MEANWHILE = [("Answers on the CPU, slower", "cpu"), ("Waits until the job is done", "wait")]


class WherePanel:
    """The components; ``choice`` is what `keep` reads, ``outputs`` what `opened` fills."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        with gr.Accordion("Where it runs", open=False, elem_id="train.where_panel"):
            self.where = shared.block(elem_id="train.where")
            self.kind = gr.Dropdown(KINDS, label="Jobs started from now on train on", elem_id="train.backend", interactive=True)
            with gr.Row(elem_classes="dst-bar"):
                self.processes = gr.Number(
                    label="Processes", precision=0, minimum=1, elem_id="train.processes", min_width=110, scale=1
                )
                self.address = gr.Textbox(
                    label="Address of its dashboard",
                    placeholder="http://HEAD:8265",
                    elem_id="train.address",
                    min_width=200,
                    scale=3,
                )
            self.gpu = gr.Checkbox(label="A GPU for each process", elem_id="train.gpu_each")
            self.meanwhile = gr.Radio(
                MEANWHILE, label="While a job has the GPU, the live model", elem_id="train.meanwhile", interactive=True
            )
            self.keep = gr.Button("Keep this", size="sm", elem_id="train.keep_where")

    @property
    def choice(self) -> list[Any]:
        """Kind, processes, address, a GPU each, what the live model does."""
        return [self.kind, self.processes, self.address, self.gpu, self.meanwhile]

    @property
    def outputs(self) -> list[Any]:
        """What ``opened`` fills."""
        return [self.where, *self.choice]

    def stands(self) -> dict[Any, Any]:
        """How it stands now."""
        found = "".join(f"<p>{shared.escape(text)}</p>" for text in placement.placement(self.ws).sentences)
        return {self.where: found}

    def opened(self) -> dict[Any, Any]:
        """How it stands, and the choices made before."""
        now = placement.placement(self.ws)
        chosen = backends.named(now.backend)
        return (
            self.stands()
            | {self.kind: chosen.kind, self.meanwhile: gr.update(value=now.while_training, visible=now.gpus > 0)}
            | self.asked(chosen.kind, chosen)
        )

    def asked(self, kind: str, chosen: Backend | None = None) -> dict[Any, Any]:
        """Only the fields that a kind of place has, filled where a choice is known."""
        known = chosen or Backend(kind, 1 if kind == "ray" else 2)
        ray = kind == "ray"
        return {
            self.processes: gr.update(visible=kind != "local", value=known.processes),
            self.address: gr.update(visible=ray, value=known.address),
            self.gpu: gr.update(visible=ray, value=known.gpu),
        }

    def kept(self, kind: str, processes: int | None, address: str | None, gpu: bool, meanwhile: str) -> dict[Any, Any]:
        """Make the choice.

        Raises:
            StudioError: there is no such place, or it cannot be had from here.
        """
        if kind != "local" and (processes is None or processes < 1):
            raise StudioError("Name how many processes: 1 or more.")
        address = (address or "").strip()
        if kind == "ray" and not address.startswith(("http://", "https://")):
            raise StudioError("Name the address of the cluster's dashboard, such as http://HEAD:8265.")
        chosen = Backend() if kind == "local" else Backend(kind, int(processes or 1), gpu and kind == "ray", address)
        placement.set_default_backend(self.ws, chosen.name)
        lease.set_while_training(self.ws, meanwhile)
        return self.opened()
