"""The stages of a recipe's languages: the head that they share, their adapters, their losses.

    languages: {members: [en, de], data: text, adapter: thin, losses: {}}

    language-head/shared     learns from the text of en and de
    language/en
    language/de
    language-loss/none/en    without an adapter
    language-loss/none/de
    language-loss/en/en
    language-loss/en/de      ...

The order of members decides nothing: the head reads its languages by their tags.
"""

from collections.abc import Iterator, Mapping

from composer.recipe.document.findings import Finding, nearest
from composer.recipe.expansion.stages import DataUse, Rows, ScoreText, TrainHead, TrainLanguage
from composer.recipe.expansion.trainings import changed_training, data_use
from composer.recipe.grammar.languages import LanguageHead, Languages, Member, TextLosses
from composer.recipe.grammar.schema import Recipe
from composer.recipe.grammar.training import Training

HEAD = "language-head/shared"
NO_ADAPTER = "none"


def members_of(languages: Languages) -> Mapping[str, Member]:
    """Give the members, each with what it changes."""
    if isinstance(languages.members, dict):
        return languages.members
    return dict.fromkeys(languages.members, Member())


def language_stages(recipe: Recipe) -> Iterator[TrainHead | TrainLanguage]:
    """List what is trained on plain text, the head first."""
    languages = recipe.languages
    if languages is None:
        return
    shared = languages.head != "own"
    if shared:
        yield _head(recipe, languages)
    for tag, member in members_of(languages).items():
        yield TrainLanguage(
            name=f"language/{tag}",
            shape=recipe.adapters[member.adapter or languages.adapter],
            data=data_use(recipe, member.data or languages.data, (tag,)),
            training=changed_training(recipe.training, languages.training, member.training),
            rows=_rows(languages),
            head=HEAD if shared else None,
        )


def loss_stages(recipe: Recipe) -> Iterator[ScoreText]:
    """List the scorings of adapters on text: no adapter first, then every one that is asked for."""
    languages = recipe.languages
    if languages is None or languages.losses is None:
        return
    members, asked = members_of(languages), languages.losses
    training = Training(threads=recipe.training.threads, batch_tokens=recipe.training.batch_tokens)
    for adapter in (NO_ADAPTER, *(asked.adapters or members)):
        for tag in asked.languages or members:
            yield ScoreText(
                name=f"language-loss/{adapter}/{tag}",
                adapter=None if adapter == NO_ADAPTER else f"language/{adapter}",
                head=HEAD,
                data=data_use(recipe, _source(languages, tag), (tag,)),
                split=asked.split,
                rows=_rows(languages),
                training=training,
            )


def check_languages(recipe: Recipe) -> Iterator[Finding]:
    """Find what the block of languages says that does not go together."""
    languages = recipe.languages
    if languages is None or languages.losses is None:
        return
    if languages.head == "own":
        message = (
            "losses are compared over one output layer, and here each language has its own; "
            "leave `head: own` out"
        )
        yield Finding(("languages", "losses"), message)
    yield from _not_members(languages, languages.losses)


def _not_members(languages: Languages, losses: TextLosses) -> Iterator[Finding]:
    known = members_of(languages)
    for place, tag in enumerate(losses.adapters or ()):
        if tag not in known:
            message = f"{tag!r} is no member and has no adapter; {nearest(tag, known)}"
            yield Finding(("languages", "losses", "adapters", place), message)


def _head(recipe: Recipe, languages: Languages) -> TrainHead:
    said = languages.head if isinstance(languages.head, LanguageHead) else LanguageHead()
    tags = sorted(said.languages or members_of(languages))
    sources = dict.fromkeys(_source(languages, tag) for tag in tags)
    return TrainHead(
        name=HEAD,
        texts=tuple(_texts(recipe, languages, source, tags) for source in sources),
        rows=_rows(languages),
        training=changed_training(recipe.training, languages.training, said.training),
    )


def _texts(recipe: Recipe, languages: Languages, source: str, tags: list[str]) -> DataUse:
    return data_use(recipe, source, tuple(tag for tag in tags if _source(languages, tag) == source))


def _source(languages: Languages, tag: str) -> str:
    """Name the data source of a language's text; of one that is no member, the block's."""
    return members_of(languages).get(tag, Member()).data or languages.data


def _rows(languages: Languages) -> Rows:
    return Rows(pack_tokens=languages.pack_tokens, whole_words=languages.whole_words)
