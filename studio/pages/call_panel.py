"""A call cut into turns, listened to and put right before it is stored as a dialogue: a part of the Data page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from engine.dialogue import SPEAKERS, SPLITS
from studio.errors import StudioError
from studio.pages import shared
from studio.pages.delete_bar import DeleteBar
from studio.services import call_drafts, calls
from studio.services.call_drafts import CallView
from studio.workspace import Workspace

KINDS = [("find out", "auto"), ("a speaker each", "separate"), ("all on one", "mixed")]
HOW = (
    f"Speaker is {' or '.join(SPEAKERS)}, times are seconds, channels count from 0. Choose a row to hear it. "
    "Every change is kept until you store or discard the cut."
)
Change = Callable[[Path, list[list[Any]], int], list[list[Any]]]  # of one row of a recording's table
CHANGES: tuple[tuple[str, str, Change], ...] = (
    ("Split it", "split", calls.split_row),
    ("Merge with the next", "merge", lambda path, table, row: calls.merge_rows(table, row)),
    ("Delete it", "delete", lambda path, table, row: calls.delete_row(table, row)),
)
# These may take minutes
LONG: dict[str, Any] = shared.ACT | shared.WAITED_FOR


class CallPanel:
    """Made inside the page's layout; ``shown`` brings back what somebody was cutting."""

    def __init__(self, ws: Workspace, project: gr.Dropdown) -> None:
        self.ws = ws
        gr.Markdown("### Cut a call into turns", elem_id="data.call_title")
        self.upload = gr.File(label="One recording of a whole call", file_types=["audio"], height=110, elem_id="data.call")
        self.path = gr.Textbox(
            label="Or a path on the studio's machine",
            info="A recording; for what is too large to upload.",
            elem_id="data.call_path",
        )
        with gr.Row(elem_classes="dst-bar"):
            kind = gr.Dropdown(KINDS, value="auto", label="Channels", elem_id="data.call_channels")
            user = gr.Dropdown([("left", 0), ("right", 1)], value=0, label="The user is", elem_id="data.call_user")
            silence = gr.Number(
                calls.MIN_SILENCE, label="Silence that ends a turn (s)", minimum=0.2, step=0.1, elem_id="data.call_silence"
            )
        cut = gr.Button("Cut", elem_id="data.cut")
        self.cut = gr.State(None)  # which recording's cut is shown
        with gr.Column(visible=False) as self.work:
            self.left = gr.Dropdown(
                [], label="Cuts you have left", info="Kept until you store or discard them.", elem_id="data.call_left"
            )
            self.told = shared.block(elem_id="data.call_told")
            self.table = gr.Dataframe(
                headers=list(calls.COLUMNS),
                datatype=["str", "number", "number", "number"],
                type="array",
                interactive=True,
                column_count=(len(calls.COLUMNS), "fixed"),
                show_row_numbers=True,
                max_height=320,
                label="Turns: change what is wrong before you store them",
                elem_id="data.turns",
            )
            with gr.Row(elem_classes="dst-bar"):
                self.row = gr.Number(
                    1, label="Row", minimum=1, step=1, precision=0, scale=0, min_width=90, elem_id="data.call_row"
                )
                buttons = [
                    gr.Button(text, size="sm", scale=0, min_width=130, elem_id=f"data.call_row_{name}")
                    for text, name, _ in CHANGES
                ]
            self.fault = shared.block(elem_id="data.call_fault")
            self.audio = gr.Audio(
                interactive=False, label="The row's sound", elem_id="data.call_audio", elem_classes="dst-player", buttons=[]
            )
            with gr.Row(elem_classes="dst-bar"):
                self.name = gr.Textbox(label="Dialogue", max_lines=1, elem_id="data.call_name")
                self.split = gr.Dropdown(list(SPLITS), value="train", label="Split", elem_id="data.call_split")
                store = gr.Button("Store as a dialogue", variant="primary", elem_id="data.store")
            with gr.Row(elem_classes="dst-bar"):
                csv = gr.Button("Download the turns as CSV", size="sm", elem_id="data.call_csv")
                self.discard = DeleteBar("data.call_discard", "Discard the cut")
            self.file = gr.File(visible="hidden", elem_id="data.call_csv_file", elem_classes=shared.HIDDEN_PART)
        self.notice = shared.block(elem_id="data.call_notice")
        form = [self.cut, self.table, self.name, self.split]
        chosen = [self.upload, self.path, kind, user, silence]
        cut.click(self._cut, [self.cut, *chosen], self.parts, **LONG)
        heard = [self.cut, self.table, self.row]
        self.table.select(picked, None, self.row, **shared.LIGHT)
        self.row.change(self._hear, heard, [self.audio, self.fault], **shared.LIGHT)
        changed = self.table.input(self._keep_draft, form, self.notice, **shared.SAVE)
        changed.then(self._hear, heard, [self.audio, self.fault], **shared.LIGHT)
        self.name.blur(self._keep_draft, form, self.notice, **shared.SAVE)
        self.split.input(self._keep_draft, form, self.notice, **shared.SAVE)
        reached = [*form, self.row]
        redrawn = [self.table, self.row, self.audio, self.fault, self.notice]
        for button, (_, _, change) in zip(buttons, CHANGES, strict=True):
            button.click(self._changing(change), reached, redrawn, **shared.SAVE)
        store.click(self._store, [project, *form], self.parts, **shared.ACT)
        self.discard.yes.click(self._discard, self.cut, self.parts, **shared.ACT)
        self.left.input(self._open, self.left, self.parts, **shared.LIGHT)
        written = csv.click(self._csv, form, [self.file, self.fault], **shared.ACT)
        written.then(None, self.file, None, js="(file) => dstDownload(file)", **shared.LIGHT)

    @property
    def parts(self) -> list[Any]:
        """What is shown anew with another cut."""
        parts = [self.cut, self.work, self.left, self.told, self.table, self.row, self.fault, self.audio]
        return [*parts, self.name, self.split, self.notice, *self.discard.parts]

    def shown(self, author: str) -> dict[Any, Any]:
        """What somebody changed last and has not stored."""
        found = call_drafts.kept(self.ws, author)
        return self._shown(found, author) | {self.notice: left(found) if found else ""}

    def _shown(self, found: CallView | None, author: str) -> dict[Any, Any]:
        if found is None:
            return {self.cut: None, self.work: gr.update(visible=False), self.audio: None}
        others = [(left_label(one), one.sha256) for one in call_drafts.all_kept(self.ws, author)]
        return {
            self.cut: found.sha256,
            self.work: gr.update(visible=True),
            self.left: gr.update(choices=others, value=found.sha256, visible=len(others) > 1),
            self.told: f"<b>{shared.escape(found.path.name)}</b>{copy_size(found)}. {HOW}",
            self.table: found.rows,
            self.row: 1,
            self.fault: "",
            self.audio: sound(found, found.rows, 1),
            self.name: found.name,
            self.split: found.split,
            **self.discard.closed(),
        }

    def _cut(
        self,
        shown: str | None,
        uploaded: str | None,
        typed: str,
        channels: str,
        user_channel: int,
        quiet: float | None,
        request: gr.Request,
    ) -> dict[Any, Any]:
        """Inputs: which cut is shown, data.call, data.call_path and the settings. Outputs: the cut and data.call_notice.

        A cut of this recording that was left comes back first; asked for again, the recording is cut anew.
        """
        try:
            by = shared.allowed(self.ws, request)
            if uploaded:
                path = uploaded
            elif (typed or "").strip():
                shared.allowed(self.ws, request, "trainer")  # a path reaches every file of this machine
                path = typed.strip()
            elif shown:
                path = str(call_drafts.require(self.ws, by, shown).path)
            else:
                raise StudioError("Choose the recording of a call first, or give its path.")
            sha256 = call_drafts.recording_hash(path)
            there = call_drafts.kept(self.ws, by, sha256)
            if there is not None and there.sha256 != shown:
                return self._shown(there, by) | {self.notice: left(there)}
            rows = calls.cut(path, channels, quiet or calls.MIN_SILENCE, user_channel)
            found = call_drafts.begin(self.ws, by, path, rows, uploaded=path == uploaded)
        except StudioError as error:
            return {self.notice: shared.alert(error)}
        told = kept(rows)
        if rows[0][3] is None:
            told += " On one channel nobody can tell who speaks: speakers alternate until you correct them."
        return self._shown(found, by) | {self.notice: told}

    def _hear(self, sha256: str | None, table: list[list[Any]], row: int | None, request: gr.Request) -> dict[Any, Any]:
        """Inputs: which cut, data.turns, data.call_row. Outputs: data.call_audio, data.call_fault."""
        if not sha256:
            return {self.audio: None}
        try:
            found = call_drafts.require(self.ws, shared.author(request), sha256)
            return {self.audio: calls.piece(found.path, table, row or 0), self.fault: ""}
        except StudioError as error:
            return {self.audio: None, self.fault: shared.alert(error)}

    @shared.reported
    def _keep_draft(self, sha256: str | None, table: list[list[Any]], name: str, split: str, request: gr.Request) -> Any:
        """Inputs: which cut, data.turns, data.call_name, data.call_split. Outputs: data.call_notice."""
        by = shared.allowed(self.ws, request)
        if not sha256:
            return gr.skip()
        call_drafts.keep(self.ws, by, sha256, table, name, split)
        return kept(table)

    def _changing(self, change: Change) -> Callable[..., dict[Any, Any]]:
        """A handler that changes one row of the table, and keeps it."""

        def changed(
            sha256: str | None, table: list[list[Any]], name: str, split: str, row: int | None, request: gr.Request
        ) -> dict[Any, Any]:
            """Inputs: which cut and all of it, data.call_row.

            Outputs: data.turns, data.call_row, data.call_audio, data.call_fault, data.call_notice.
            """
            try:
                by = shared.allowed(self.ws, request)
                found = call_drafts.require(self.ws, by, sha256)
                rows = change(found.path, table, row or 0)
                call_drafts.keep(self.ws, by, found.sha256, rows, name, split)
            except StudioError as error:
                return {self.fault: shared.alert(error)}
            row = min(row or 1, max(1, len(rows)))
            return {self.table: rows, self.row: row, self.audio: sound(found, rows, row), self.fault: "", self.notice: kept(rows)}

        return changed

    def _store(
        self, project_id: int | None, sha256: str | None, table: list[list[Any]], name: str, split: str, request: gr.Request
    ) -> dict[Any, Any]:
        """Inputs: data.project, which cut and all of it. Outputs: the cut and data.call_notice."""
        try:
            by = shared.allowed(self.ws, request)
            if project_id is None:
                raise StudioError("There is no project yet: create one on the Talk page.")
            found = call_drafts.require(self.ws, by, sha256)
            call_drafts.keep(self.ws, by, found.sha256, table, name, split)
            call_drafts.store(self.ws, project_id, by, found.sha256)
        except StudioError as error:
            return {self.notice: shared.alert(error)}
        return self.shown(by) | {self.notice: f"{shared.saved()}: <a href='correct'>open it on Correct</a>."}

    @shared.reported
    def _open(self, sha256: str, request: gr.Request) -> dict[Any, Any]:
        """Inputs: data.call_left. Outputs: the cut and data.call_notice."""
        by = shared.author(request)
        found = call_drafts.kept(self.ws, by, sha256)
        if found is None:  # stored or discarded meanwhile
            return self.shown(by)
        return self._shown(found, by) | {self.notice: left(found)}

    def _csv(self, sha256: str | None, table: list[list[Any]], name: str, split: str, request: gr.Request) -> dict[Any, Any]:
        """Inputs: which cut and all of it. Outputs: the file to download, data.call_fault."""
        try:
            by = shared.allowed(self.ws, request)
            if sha256:
                call_drafts.keep(self.ws, by, sha256, table, name, split)
            return {self.file: str(call_drafts.export_csv(self.ws, by, sha256)), self.fault: ""}
        except StudioError as error:
            return {self.file: None, self.fault: shared.alert(error)}

    @shared.reported
    def _discard(self, sha256: str | None, request: gr.Request) -> dict[Any, Any]:
        """Inputs: which cut. Outputs: the cut and data.call_notice."""
        by = shared.allowed(self.ws, request)
        if sha256:
            call_drafts.discard(self.ws, by, sha256)
        return self.shown(by) | {self.notice: "Discarded: nothing of it was stored."}


def picked(event: gr.SelectData) -> int:
    """The row that was chosen in the table, from 1. Inputs: data.turns. Outputs: data.call_row."""
    return int(event.index[0]) + 1


def kept(table: list[list[Any]]) -> str:
    """The notice after a change."""
    return f"{shared.count(len(table), 'turn')}, kept {shared.clock()}."


def left(found: CallView) -> str:
    """The notice when a cut comes back."""
    return f"Here is what you left of it, kept {shared.day_clock(found.updated)}. Press Cut to cut it anew."


def left_label(found: CallView) -> str:
    """A cut in the list of those that were left."""
    return f"{found.path.name} · {shared.count(len(found.rows), 'turn')} · {shared.day_clock(found.updated)}{copy_size(found)}"


def copy_size(found: CallView) -> str:
    """How much of the disk the copy of an upload takes."""
    return f" · {shared.size(found.path)} uploaded" if found.copied and found.path.is_file() else ""


def sound(found: CallView, table: list[list[Any]], row: int) -> Any:
    """What a row sounds like; nothing where it makes no turn, which choosing and storing it says."""
    try:
        return calls.piece(found.path, table, row)
    except StudioError:
        return None
