"""Which scores in the store are of exactly the compositions that a bundle is made of."""

from collections.abc import Mapping
from dataclasses import replace

from composer.engine.planning.record import read_record, read_stage
from composer.engine.planning.wanted import Wanted
from composer.engine.storage.refs import all_refs
from composer.engine.storage.store import Store
from composer.recipe.expansion.stages import BundledComposition, Evaluate, Export, Stage
from composer.recipe.grammar.composition import Composition, print_composition, rename


def with_scores(wanted: Wanted, store: Store) -> Wanted:
    """Name the scores in the store that are of exactly the compositions to be bundled."""
    stored = dict(wanted.stored)
    known = _known_scores(store)

    def scored(one: BundledComposition, parts: Mapping[str, str]) -> BundledComposition:
        same = (_by_key(one.composition, parts), stored[one.owner])
        names = []
        for (composition, owner, language), key in sorted(known.items()):
            if (composition, owner) == same:
                names.append(f"evaluation/stored/{one.name}/{language}")
                stored[names[-1]] = key
        return replace(one, evaluations=tuple(names))

    def completed(stage: Stage) -> Stage:
        if not isinstance(stage, Export):
            return stage
        parts = {name: stored[need] for name, need in stage.parts.items()}
        bundled = tuple(scored(one, parts) for one in stage.compositions)
        return replace(stage, compositions=bundled)

    return replace(wanted, stages=tuple(map(completed, wanted.stages)), stored=stored)


def _known_scores(store: Store) -> dict[tuple[str, str, str], str]:
    """Map composition, owner and language, all but the last by key, to a test score's key."""
    known: dict[tuple[str, str, str], str] = {}
    for ref in all_refs(store):
        result = store.open(ref.key) if ref.kind == "evaluation" else None
        stage = read_stage(read_record(result.manifest), name=ref.stage) if result else None
        if isinstance(stage, Evaluate) and stage.split == "test":
            same = _by_key(stage.composition, stage.parts)
            known.setdefault((same, stage.owner, stage.data.languages[0]), ref.key)
    return known


def _by_key(composition: Composition, parts: Mapping[str, str]) -> str:
    """Spell a composition with keys for names, so that equal ones are spelt the same."""
    return print_composition(rename(composition, parts))
