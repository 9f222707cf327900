"""The studio as a web application: its pages over one workspace, served to this machine only."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

# Read by Gradio when it is imported: nothing is reported to anybody. Only the exact word "True" would switch it on.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr

from studio.errors import StudioError
from studio.pages import agreement, correct, data, models, ontology, talk, team, train
from studio.services import following, people, scheduling, staging, trackers
from studio.workspace import DOWNLOADS, Workspace

ASSETS = Path(__file__).parent / "assets"
STYLES = ("studio.css", "slots.css", "talk.css")
SCRIPTS = (
    "stream.js",
    "player.js",
    "studio.js",
    "toasts.js",
    "uploads.js",
    "slots.js",
    "microphone.js",
    "talk.js",
    "accessible.js",
)
PORTS_TRIED = 20
UPLOADS = "500mb"  # two hours of a call at 16 kHz on two channels; what is larger is given by its path
FONTS = ("ui-sans-serif", "system-ui", "sans-serif")
THEME = gr.themes.Default(
    primary_hue=gr.themes.colors.teal,
    secondary_hue=gr.themes.colors.teal,
    neutral_hue=gr.themes.colors.slate,
    spacing_size=gr.themes.sizes.spacing_sm,
    radius_size=gr.themes.sizes.radius_sm,
    text_size=gr.themes.sizes.text_sm,
    # 700, not 600: the semi-bold file that Gradio ships lacks most letters
    font=(gr.themes.utils.fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), *FONTS),
).set(
    # Gradio's own are too pale to read: 4.5 to 1 is the least for small text
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_400",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_400",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_600",
    button_small_text_size="*text_md",
)


def build(ws: Workspace) -> gr.Blocks:
    """The pages. Each resumes from the database whenever it is loaded."""
    demo = gr.Blocks(title="Spoken DST Studio", analytics_enabled=False, delete_cache=(3600, 86400), fill_width=True)
    with demo:
        talk.page(ws, demo)
    for page in (correct, agreement, data, ontology, train, models, team):
        name = page.__name__.rpartition(".")[2]
        with demo.route(name.capitalize(), f"/{name}"):
            page.page(ws, demo)
    return demo


def launch(
    ws: Workspace,
    host: str = "127.0.0.1",
    port: int = 7860,
    open_browser: bool = True,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve the studio until it is interrupted; the next free port is taken, and named, when ``port`` is in use.

    Once there are users, everybody logs in. Without, ``host`` has to be this machine itself, which the command line sees to.
    With ``certificate`` and ``key`` (PEM files) it is served over HTTPS, without which browsers elsewhere give no microphone.

    Raises:
        StudioError: no port is free.
    """
    uploads = ws.home / "tmp" / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    found = free_port(host, port)
    if found != port:
        print(f"Port {port} is in use; the studio takes {found} instead.", flush=True)
    demo = build(ws).queue(max_size=64, default_concurrency_limit=4, api_open=False)
    threading.Thread(target=trackers.keep_ready, args=(ws,), name="keep-ready", daemon=True).start()
    threading.Thread(target=following.keep_following, args=(ws,), name="keep-following", daemon=True).start()
    threading.Thread(target=scheduling.keep_going, args=(ws,), name="keep-going", daemon=True).start()
    threading.Thread(target=staging.keep_swept, args=(ws,), name="keep-swept", daemon=True).start()
    scheme = "https" if certificate else "http"
    print(f"Spoken DST Studio: {scheme}://{host}:{found}  (end it with Ctrl+C)", flush=True)
    demo.launch(
        server_name=host,
        server_port=found,
        inbrowser=open_browser,
        auth=partial(people.log_in, ws) if people.list_users(ws) else None,
        # which is all that Gradio's page for it takes over: it has no title of its own
        auth_message="<title>Spoken DST Studio</title>Spoken DST Studio: log in with the name and password an admin gave you.",
        ssl_certfile=str(certificate) if certificate else None,
        ssl_keyfile=str(key) if key else None,
        ssl_verify=False,  # of Gradio's own first request to itself: a company's certificate names another host
        quiet=True,
        share=False,
        show_error=True,
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        strict_cors=True,
        footer_links=[],
        max_file_size=UPLOADS,
        # Recordings are played from where they are, exports are downloaded; all else of the workspace stays out of reach.
        allowed_paths=[str(ws.home / "recordings"), str(ws.path(DOWNLOADS))],
        blocked_paths=[str(ws.home / name) for name in ("studio.db", "calls", "models", "runs", "cache")],
        favicon_path=ASSETS / "icon.svg",
        theme=THEME,
        head=_head(),
    )


def _head() -> str:
    """Styles and keys. Not by way of ``css_paths``: Gradio would confine the narrow-screen rules to its inner container."""
    read = {name: (ASSETS / name).read_text(encoding="utf-8") for name in (*STYLES, *SCRIPTS)}
    styles, scripts = ("\n".join(read[name] for name in names) for names in (STYLES, SCRIPTS))
    return f"<style>{styles}</style><script>{scripts}</script>"


def free_port(host: str, wanted: int) -> int:
    """The first free port from ``wanted`` on.

    Raises:
        StudioError: none of the next ports is free.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(wanted, wanted + PORTS_TRIED):
        with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise StudioError(
        f"No port from {wanted} to {wanted + PORTS_TRIED - 1} is free: end another program or choose one with --port."
    )
