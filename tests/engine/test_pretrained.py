"""What can go wrong with a model's name is one sentence that says what to do."""

import shutil
from pathlib import Path

import httpx2
import pytest
import transformers
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from engine.base_models import BaseModelError
from engine.pretrained import load_tokenizer, read_config

ANSWER = httpx2.Response(401, request=httpx2.Request("GET", "https://huggingface.co"))


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        (GatedRepoError("403", response=ANSWER), "is a gated model: accept its terms on https://huggingface.co/a/b, log in once"),
        (RepositoryNotFoundError("401", response=ANSWER), "neither a local folder nor a model that the hub shows you"),
        (LocalEntryNotFoundError("no network"), "the hub cannot be reached: check the network, or copy the model's folder here"),
    ],
)
def test_the_hubs_answers_become_advice(monkeypatch, cause, advice):
    def refuse(*_, **__):
        raise OSError("You are trying to access ...") from cause  # as transformers wraps them

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", refuse)
    with pytest.raises(BaseModelError, match=advice) as error:
        read_config("a/b")
    assert "\n" not in str(error.value)


def test_folders_that_are_missing_or_hold_no_model_are_named(tmp_path):
    with pytest.raises(BaseModelError, match="nowhere: there is no such folder"):
        read_config(str(tmp_path / "nowhere"))
    with pytest.raises(BaseModelError, match="is no usable model folder: "):
        read_config(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BaseModelError, match="is no usable model folder: "):
        read_config(str(tmp_path))


def test_an_architecture_nobody_knows_gets_the_list_of_those_that_will_do(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "abacus"}')
    with pytest.raises(BaseModelError, match=r"encoders can be whisper, wavlm, .* LLMs any causal language model .*tried: olmo"):
        read_config(str(tmp_path))


def test_a_folder_without_its_tokenizer_is_refused_instead_of_trained_with_an_empty_one(tiny, tmp_path):
    for file in Path(tiny("olmo")).iterdir():
        if not file.name.startswith("tokenizer"):
            shutil.copy(file, tmp_path)
    with pytest.raises(BaseModelError, match="the tokenizer cannot write 'hotel'"):
        load_tokenizer(str(tmp_path))
