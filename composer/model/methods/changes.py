"""What the members of a bound composition change inside an encoder, for one pass.

    lora       a low-rank product beside a frozen one; deltas of a stack add up, those of an
               average are weighted
    bitfit     what is added to biases, likewise
    prefix     keys and values; those of a stack lie one behind the other
    prompt     vectors in front, likewise
    full       everything, alone

What acts at sites is in `composer.model.walk`; a stack of both kinds has both. Nothing of it is
held on the encoder, so that any number of threads may use it at once.
"""

from collections.abc import Callable, Iterator

from composer.errors import AdapterError
from composer.model.encoder import Changes, Encoder
from composer.model.methods.bitfit import with_bias_deltas, with_norm_delta
from composer.model.methods.full import FullCopy
from composer.model.methods.lora import with_low_ranks
from composer.model.methods.prefix import with_prefixes
from composer.model.methods.prompt import prompt_of
from composer.model.mixers import Kept
from composer.model.parts import Adapter
from composer.recipe.checking.combining import INNER_KINDS
from composer.recipe.grammar.composition import NONE, Average, Composition, Fuse, Gate, Stack


def changes_of(
    composition: Composition, adapter: Callable[[str], Adapter], encoder: Encoder | None, kept: Kept
) -> Changes | None:
    """Give what a composition changes; None: nothing inside the encoder.

    Args:
        composition: Bound.
        adapter: Gives an adapter by its name in the composition.
        encoder: Whose layers are changed, for one pass; None: `transformers` computes them.
        kept: What earlier passes made of weights alone.

    Raises:
        AdapterError: There is something to change, and no encoder of composer's.
    """
    found: dict[str, list[tuple[Adapter, float]]] = {}
    for name, weight in _members(composition):
        member = adapter(name)
        found.setdefault(member.shape.kind, []).append((member, weight))
    if not found.keys() & INNER_KINDS:
        return None
    if encoder is None:
        raise AdapterError(f"{composition} acts inside layers that transformers computes")
    for copy, _ in found.get("full", ()):
        if isinstance(copy, FullCopy):
            return copy.changes(encoder, kept)
    layers = list(enumerate(encoder.layers))
    if shares := found.get("lora"):
        layers = [(n, with_low_ranks(layer, n, shares, kept)) for n, layer in layers]
    if shares := found.get("bitfit"):
        layers = [(n, with_bias_deltas(layer, n, shares)) for n, layer in layers]
    if prefixes := [member for member, _ in found.get("prefix", ())]:
        layers = [(n, with_prefixes(layer, n, prefixes)) for n, layer in layers]
    prompts = [member for member, _ in found.get("prompt", ())]
    biases = found.get("bitfit")
    return Changes(
        layers=[layer for _, layer in layers],
        embeddings=with_norm_delta(encoder.embeddings, biases) if biases else None,
        prompt=prompt_of(prompts) if prompts else None,
    )


def _members(composition: Composition, weight: float = 1.0) -> Iterator[tuple[str, float]]:
    """List adapters and their weights; a fusion's members act at sites only."""
    match composition:
        case str():
            if composition != NONE:
                yield composition, weight
        case Stack(parts=parts):
            for part in parts:
                yield from _members(part, weight)
        case Average(parts=parts, weights=weights):
            for part, share in zip(parts, weights, strict=True):
                yield from _members(part, weight * share)
        case Fuse() | Gate():
            return
