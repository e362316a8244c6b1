"""The sampling parameters that every dialect of ours shares, with their ranges."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from appliance.domain import Sampling

StopString = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TokenId = Annotated[int, Field(ge=0)]
Bias = Annotated[float, Field(ge=-100, le=100)]
MAX_STOPS = 4
MAX_BIASES = 1024


class SamplingFields(BaseModel):
    """Unknown parameters are refused by name: a client must never believe it was obeyed."""

    model_config = ConfigDict(extra="forbid", strict=False)

    max_tokens: int | None = Field(None, ge=1, description="Most tokens of the answer.")
    temperature: float | None = Field(None, ge=0, le=2, description="0 takes the likeliest token.")
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, description="0 means: no limit.")
    min_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(
        None,
        ge=0,
        lt=2**63,
        description="Same seed, same answer; on OpenVINO only for a request that runs alone.",
    )
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, gt=0, le=2)
    logit_bias: dict[TokenId, Bias] | None = Field(
        None, max_length=MAX_BIASES, description="-100 to 100 by token id; ids from /tokenize."
    )
    stop: StopString | Annotated[list[StopString], Field(max_length=MAX_STOPS)] | None = Field(
        None, description="Up to 4 texts that end the answer; they are never shown."
    )

    def sampling(self, **changes: Any) -> Sampling:
        """The domain's form. `changes` override, for dialects with other names."""
        values = {name: getattr(self, name) for name in Sampling.__dataclass_fields__}
        values["stop"] = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Sampling(**(values | changes))
