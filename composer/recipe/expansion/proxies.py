"""What stands for a language that has no adapter: the adapters of others, averaged.

    languages:
      members: [ru, pl, en]
      proxies:
        uk: {ru: 0.7, pl: 0.3}     average(0.7 * ru, 0.3 * pl)
        be: {ru: 1}                ru
        sr: related                average(pl, ru): its nearest relatives, of equal weight

Nothing is trained: wherever a composition is bound to `uk`, the average acts in place of an
adapter. Only evaluations and bundles bind so; what is trained, is trained on adapters.
"""

from collections.abc import Iterator, Mapping, Sequence

from composer.recipe.document.findings import Finding, Path, nearest
from composer.recipe.grammar.composition import Average, Composition, bind
from composer.recipe.grammar.languages import Languages, Proxy
from composer.recipe.grammar.relatives import is_placed, nearest_relatives
from composer.recipe.grammar.schema import Recipe

_TOLERANCE = 1e-6  # of a sum of weights


def bind_language(recipe: Recipe, composition: Composition, language: str) -> Composition:
    """Put a language's adapter, or what stands for it, where `$language` stands."""
    proxies = recipe.languages.proxies if recipe.languages else {}
    if language not in proxies:
        return bind(composition, language)
    members = tuple(recipe.languages.members) if recipe.languages else ()
    return bind(composition, proxy_composition(language, proxies[language], members))


def proxy_composition(language: str, proxy: Proxy, members: Sequence[str]) -> Composition:
    """Spell what stands for a language, in the order of the weights, or of the members.

    >>> str(proxy_composition("uk", {"ru": 0.75, "pl": 0.25}, ["pl", "ru"]))
    'average(0.75 * ru, 0.25 * pl)'
    >>> str(proxy_composition("uk", "related", ["en", "pl", "ru"]))
    'ru'
    """
    if isinstance(proxy, Mapping):
        names, weights = tuple(proxy), tuple(proxy.values())
    else:
        names = tuple(nearest_relatives(language, members))
        weights = (1 / len(names),) * len(names)
    return names[0] if len(names) == 1 else Average(names, weights)


def proxy_findings(languages: Languages) -> Iterator[Finding]:
    """Find proxies that stand for a language with an adapter, or are made of none."""
    members = tuple(languages.members)
    for language, proxy in languages.proxies.items():
        path: Path = ("languages", "proxies", language)
        if language in members:
            message = f"{language!r} has an adapter of its own among the members; leave one out"
            yield Finding(path, message, on_key=True)
        elif isinstance(proxy, Mapping):
            yield from _weights(path, proxy, members)
        elif not nearest_relatives(language, members):
            yield Finding(path, _unrelated(language, members))


def _weights(path: Path, proxy: Mapping[str, float], members: Sequence[str]) -> Iterator[Finding]:
    for name in proxy:
        if name not in members:
            message = f"{name!r} has no adapter to average; {nearest(name, members)}"
            yield Finding((*path, name), message, on_key=True)
    total = sum(proxy.values())
    if abs(total - 1) > _TOLERANCE:
        yield Finding(path, f"the weights add to {total:.7g}, and must add to 1")


def _unrelated(language: str, members: Sequence[str]) -> str:
    known = "no relation of it is known" if not is_placed(language) else "none is related"
    return (
        f"{known} to the members ({', '.join(members)}), by composer's table of genealogical "
        f"relations; say the weights, as in `{{{members[0]}: 1}}`"
    )
