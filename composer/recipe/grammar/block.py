"""What every block of a recipe is made of: the base of its models, and plain values."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
LanguageTag = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Share = Annotated[float, Field(gt=0, lt=1)]

# A whole number that could only be a slip, or that fits no counter further down, is refused.
Count = Annotated[int, Field(ge=1, le=10**9)]
Epochs = Annotated[int, Field(ge=1, le=10**6)]
BatchTokens = Annotated[int, Field(ge=16, le=2**24)]
MaxTokens = Annotated[int, Field(ge=8, le=2**20)]
Rate = Annotated[float, Field(gt=0, le=1)]
Warmup = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]
ProxyWeight = Annotated[float, Field(gt=0, le=1)]
Temperature = Annotated[float, Field(ge=1, le=1e6)]
Clip = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Threads = Annotated[int, Field(ge=1, le=256)]
Processes = Annotated[int, Field(ge=1, le=64)]
Width = Annotated[int, Field(ge=1, le=2**16)]
Layer = Annotated[int, Field(ge=0, lt=2**16)]


class Block(BaseModel):
    """A block of a recipe: immutable, and every key it does not know is a fault."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True
    )
