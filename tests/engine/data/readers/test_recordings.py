"""A table of transcripts beside recordings."""

import numpy as np
import pytest

from engine.audio import save_flac
from engine.data.readers import CorpusError
from engine.data.readers.recordings import read


def test_rows_become_one_turn_dialogues_and_drafts_are_dropped(tmp_path):
    save_flac(tmp_path / "a.flac", np.zeros(1600, np.float32), 16000)
    rows = ["path\ttranscript\ttranscript_kind\tspeaker", "a.flac\tTable for 2, please!\tsource_text\tanna"]
    rows += ["a.flac\tdraft\tasr_draft_x\tanna", "b.flac\tgone\tsource_text\tanna"]
    (tmp_path / "transcripts.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    dialogues, report = read(tmp_path, "test")
    assert [(d.turns[0].transcript, d.turns[0].voice, d.split) for d in dialogues] == [("table for two please", "anna", "test")]
    assert sum(report.dropped.values()) == 2


def test_a_table_without_the_columns_says_which(tmp_path):
    (tmp_path / "transcripts.tsv").write_text("file\ttext\n")
    with pytest.raises(CorpusError, match="lacks the column path and transcript"):
        read(tmp_path, "test")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("path\ttranscript\na.flac\tcaf\xe9\n".encode("latin-1"), "not UTF-8"),
        (b'path\ttranscript\na.flac\t"never closed\nb.flac\tlost\n', "a field spans lines"),
    ],
)
def test_tables_that_would_lose_rows_are_refused(tmp_path, content, reason):
    (tmp_path / "transcripts.tsv").write_bytes(content)
    with pytest.raises(CorpusError, match=reason):
        read(tmp_path, "test")


def test_a_spreadsheets_byte_order_mark_is_no_part_of_the_header(tmp_path):
    (tmp_path / "transcripts.tsv").write_bytes(b"\xef\xbb\xbfpath\ttranscript\n")
    assert read(tmp_path, "test")[0] == []


def test_another_folder_says_what_was_expected(tmp_path):
    with pytest.raises(CorpusError, match="expected transcripts.tsv"):
        read(tmp_path, "test")
