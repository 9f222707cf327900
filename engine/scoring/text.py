"""Scores of free text: token overlap of responses, BLEU and chrF of translations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.data.spoken_form import comparable
from engine.scoring.partial import harmonic_mean, overlap
from engine.scoring.states import ScoreError

# sacreBLEU's tokeniser for languages whose words are not parted by blanks; all others take its default.
_BLEU_TOKENISERS = {"zh": "zh", "ja": "char", "th": "char", "lo": "char", "km": "char", "my": "char"}


def language_name(code: str) -> str:
    """A language's English name from its ISO 639-1 code; anything else is taken as a name already ("German")."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return str(LANGUAGES[code]).title() if code in LANGUAGES else code


def score_texts(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """``exact`` and ``token_f1`` in percent over (reference, answer) pairs, both sides as `comparable` writes them.

    An empty reference is met by an empty answer alone.
    """
    if not pairs:
        raise ScoreError("there is no response to score")
    exact, token_f1 = 0, 0.0
    for reference, answer in ((comparable(one).split(), comparable(two).split()) for one, two in pairs):
        exact += reference == answer
        token_f1 += 1.0 if reference == answer else harmonic_mean(*overlap(reference, answer))
    return {"exact": 100 * exact / len(pairs), "token_f1": 100 * token_f1 / len(pairs), "responses": len(pairs)}


def require_sacrebleu() -> Any:
    """The sacrebleu module.

    Raises:
        ScoreError: it is not installed.
    """
    try:
        import sacrebleu
    except ImportError as error:
        raise ScoreError("translations are scored with sacrebleu: pip install 'spoken-dst-studio[translation]'") from error
    return sacrebleu


def score_translations(pairs: Sequence[tuple[str, str]], language: str) -> dict[str, Any]:
    """Corpus BLEU and chrF of (reference, answer) pairs, with the signatures that make them comparable (Post 2018).

    Raises:
        ScoreError: sacrebleu is not installed.
    """
    metrics = require_sacrebleu().metrics
    references, answers = [[reference for reference, _ in pairs]], [answer for _, answer in pairs]
    bleu = metrics.BLEU(tokenize=_BLEU_TOKENISERS.get(language, "13a"))
    chrf = metrics.CHRF()
    return {
        "bleu": bleu.corpus_score(answers, references).score,
        "chrf": chrf.corpus_score(answers, references).score,
        "bleu_signature": str(bleu.get_signature()),
        "chrf_signature": str(chrf.get_signature()),
        "translations": len(pairs),
    }
