"""What a recipe may say of languages: their adapters, the head they share, their proxies."""

from typing import Annotated, Literal

from pydantic import Field

from composer.recipe.grammar.block import Block, LanguageTag, MaxTokens, Name, ProxyWeight
from composer.recipe.grammar.data import Split
from composer.recipe.grammar.training import TrainingChanges


class Member(Block):
    """What one language changes of what its block gives.

    Attributes:
        data: Name of a data source.
        adapter: Name of an adapter shape.
        training: Changed fields.
    """

    data: Name | None = None
    adapter: Name | None = None
    training: TrainingChanges = TrainingChanges()


class LanguageHead(Block):
    """The output layer of masked language modelling that all languages share.

    It is trained first, without adapters, and then frozen.

    Attributes:
        languages: Whose text it learns from, and whose pieces it scores. Left out: all members.
            Named, a language that is added later leaves it, and all other languages, as they are.
        training: Changed fields.
    """

    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | None = None
    training: TrainingChanges = TrainingChanges()


class TextLosses(Block):
    """Held-out masked-LM loss: every language's adapter, and none, on every language's text.

    Attributes:
        languages: Whose text is scored. Left out: all members.
        adapters: Members whose adapters act. Left out: all.
        split: Which part of the text.
    """

    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | None = None
    adapters: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | None = None
    split: Split = "test"


Proxy = Annotated[dict[LanguageTag, ProxyWeight], Field(min_length=1)] | Literal["related"]


class Languages(Block):
    """The languages that get an adapter of their own.

    Attributes:
        members: Language tags (BCP 47), or a mapping from tag to what it changes.
        data: Name of a data source of plain text.
        adapter: Name of an adapter shape.
        training: Changed fields.
        head: What scores the hidden pieces. "shared": the backbone's own masked-LM head where it
            brings a trained one, else one that is trained first on the text of all members; a
            mapping says on which. "own": an output layer that each adapter learns beside it.
        pack_tokens: Join sentences, with separators between them, up to so many tokens. If it
            is left out: one sentence at a time.
        whole_words: Hide all pieces of a word together.
        losses: Score the adapters on held-out text, each on each language.
        proxies: What stands for a language without an adapter where compositions are evaluated
            or bundled: members' adapters, averaged with these weights, which add to 1; or
            "related": its nearest relatives among the members, by a table of genealogical
            relations, all of one weight.
    """

    members: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | dict[LanguageTag, Member]
    data: Name
    adapter: Name
    training: TrainingChanges = TrainingChanges()
    head: Literal["shared", "own"] | LanguageHead = "shared"
    pack_tokens: MaxTokens | None = None
    whole_words: bool = False
    losses: TextLosses | None = None
    proxies: dict[LanguageTag, Proxy] = {}
