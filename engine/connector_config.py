"""The `[model.connector]` section of a recipe: each kind of connector has its own keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator


class Section(BaseModel):
    """A table of a recipe: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Connector(Section):
    stack: int = Field(6, ge=1, description="encoder frames that become one position")
    match_embeddings: bool = Field(False, description="normalise outputs to the scale of the LLM's token embeddings")


class _Transformer(_Connector):
    layers: int = Field(2, ge=0, description="transformer layers")
    width: int = Field(1024, ge=8)
    heads: int = Field(16, ge=1)
    ffn: int = Field(4096, ge=8)
    dropout: float = Field(0.1, ge=0, lt=1)
    norm: Literal["pre", "post"] = Field("post", description="layer norm before (steadier) or after (paper 1) each block")
    initialisation: Literal["default", "depth-scaled"] = Field(
        "default", description="depth-scaled: what each block adds starts smaller the more blocks there are"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        return self


class StackedTransformerConfig(_Transformer):
    """Frame stacking, Linear, transformer, Linear (paper 1; paper 2's transformer adapter)."""

    kind: Literal["stacked-transformer"] = "stacked-transformer"


class Conv1dTransformerConfig(_Transformer):
    """One strided convolution, transformer, Linear (paper 3)."""

    kind: Literal["conv1d-transformer"]


class CnnConfig(_Connector):
    """Convolutions of stride 2, Linear (paper 2)."""

    kind: Literal["cnn"]
    width: int = Field(512, ge=8, description="channels")

    @model_validator(mode="after")
    def _stack_is_a_power_of_two(self) -> Self:
        if self.stack & (self.stack - 1):
            raise ValueError(f"each convolution halves the frames: stack must be a power of two, not {self.stack}")
        return self


class LinearConfig(_Connector):
    """Frame stacking, Linear (paper 2)."""

    kind: Literal["linear"]


class MlpConfig(_Connector):
    """Frame stacking, hidden layers, Linear (paper 2)."""

    kind: Literal["mlp"]
    layers: int = Field(1, ge=1, description="hidden layers")
    width: int = Field(2048, ge=8, description="size of a hidden layer")


class Conv1dMlpConfig(_Connector):
    """One strided convolution, plain or depth-wise separable (dws), one hidden layer, Linear (paper 3)."""

    kind: Literal["conv1d-mlp", "dws-mlp"]
    width: int = Field(2048, ge=8, description="size of the hidden layer")


class AudioProjectorConfig(Section):
    """Qwen2-Audio's own projector: one Linear, whose weights come with the checkpoint (paper 2's foundational variant)."""

    kind: Literal["qwen2-audio"]


def _kind(value: Any) -> str | None:
    kind = value.get("kind", "stacked-transformer") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


CONNECTOR_KINDS = ("stacked-transformer", "cnn", "linear", "mlp", "conv1d-mlp", "dws-mlp", "conv1d-transformer", "qwen2-audio")

# The bridge from encoder frames to LLM embeddings: each kind has its own keys.
ConnectorConfig = Annotated[
    Annotated[StackedTransformerConfig, Tag("stacked-transformer")]
    | Annotated[CnnConfig, Tag("cnn")]
    | Annotated[LinearConfig, Tag("linear")]
    | Annotated[MlpConfig, Tag("mlp")]
    | Annotated[Conv1dMlpConfig, Tag("conv1d-mlp")]
    | Annotated[Conv1dMlpConfig, Tag("dws-mlp")]
    | Annotated[Conv1dTransformerConfig, Tag("conv1d-transformer")]
    | Annotated[AudioProjectorConfig, Tag("qwen2-audio")],
    Discriminator(
        _kind,
        custom_error_type="connector_kind",
        custom_error_message=f"no such kind of connector; there are {', '.join(CONNECTOR_KINDS)}",
    ),
]

CONNECTOR_SECTIONS = (StackedTransformerConfig, CnnConfig, MlpConfig)  # between them, every key a connector can have
