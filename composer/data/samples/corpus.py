"""All sentences of one language, divided into training, validation and test.

Training is sampled first, the plain text with it; then validation, then test. A sentence is
taken once; a later split does not take it, nor one that differs from an earlier split's only in
its names. So a test sentence's pattern was never seen, even where two templates overlap.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from composer.data.samples.assistant import SAMPLE_VERSION, names_from
from composer.data.samples.draw import Draw
from composer.data.samples.grammar import Grammar, read_grammar
from composer.data.samples.names import Names, read_names
from composer.data.samples.sampling import Sentence, sample_sentence
from composer.data.samples.templates import Template, read_templates
from composer.recipe.grammar.data import Split

ORDER: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Amount:
    """How many sentences a split has at most.

    Attributes:
        intent: Of one intent.
        response: Of one response of an intent, where an intent has many responses.
        domain: Of one domain of a response, where it has many.
        text: Of plain text, those of the tasks among them.
    """

    intent: int
    response: int
    domain: int
    text: int


AMOUNTS: Mapping[Split, Amount] = {
    "train": Amount(intent=40, response=12, domain=3, text=4000),
    "validation": Amount(intent=10, response=3, domain=1, text=400),
    "test": Amount(intent=15, response=4, domain=1, text=600),
}
TRIES = 16  # draws for one more sentence, until a template counts as exhausted
FIRST_TRIES = 10  # draws for a template's first sentence


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """What a split holds.

    Attributes:
        templates: Templates that gave at least one sentence.
        sentences: That the tasks label or pair.
        texts: Sentences of plain text.
        skipped: What a template needs and the language lacks -> templates that need it.
        barren: Templates that gave no sentence fit to be said.
    """

    templates: int
    sentences: int
    texts: int
    skipped: Mapping[str, int]
    barren: int


@dataclass(frozen=True)
class Corpus:
    """All of one language."""

    sentences: Mapping[Split, tuple[Sentence, ...]]
    texts: Mapping[Split, tuple[str, ...]]
    counts: Mapping[Split, SplitCounts]


@lru_cache(maxsize=4)
def build(language: str) -> Corpus:
    """Sample a language; the same every time, on every machine."""
    names = read_names(names_from(language), for_another=names_from(language) != language)
    grammar = read_grammar(language)
    usable, skipped = _usable(read_templates(language), grammar, names)
    seen = _Seen()
    sentences: dict[Split, tuple[Sentence, ...]] = {}
    texts: dict[Split, tuple[str, ...]] = {}
    counts: dict[Split, SplitCounts] = {}
    for split in ORDER:
        draw = Draw(f"assistant {SAMPLE_VERSION} {language} {split}")
        pool = _Pool(grammar, names, split=split, draw=draw, seen=seen)
        templates = draw.shuffled([one for one in usable if one.split == split])
        labelled = _for_tasks(pool, templates, AMOUNTS[split])
        more = pool.fill(templates, AMOUNTS[split].text - len(labelled))
        sentences[split] = tuple(_labels_known(draw.shuffled(labelled), sentences.get("train")))
        texts[split] = tuple(one.text for one in draw.shuffled([*labelled, *more]))
        counts[split] = SplitCounts(
            templates=len(pool.fruitful),
            sentences=len(sentences[split]),
            texts=len(texts[split]),
            skipped=dict(sorted(skipped[split].items())),
            barren=len(templates) - len(pool.fruitful),
        )
        seen.close_split()
    return Corpus(sentences, texts, counts)


class _Seen:
    """Sentences and patterns that later ones may not repeat."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._patterns: set[str] = set()  # of this split
        self._earlier: set[str] = set()  # of the splits before it

    def is_new(self, sentence: Sentence) -> bool:
        text, pattern = sentence.text.casefold(), sentence.pattern.casefold()
        if text in self._texts or pattern in self._earlier:
            return False
        self._texts.add(text)
        self._patterns.add(pattern)
        return True

    def close_split(self) -> None:
        self._earlier |= self._patterns


class _Pool:
    """Draws sentences from the templates of one split."""

    def __init__(
        self, grammar: Grammar, names: Names, *, split: Split, draw: Draw, seen: _Seen
    ) -> None:
        self._grammar = grammar
        self._names = names
        self._split: Split = split
        self._draw = draw
        self._seen = seen
        self._domains: Counter[tuple[str, ...]] = Counter()
        self.fruitful: set[Template] = set()
        self._exhausted: set[Template] = set()

    def fill(self, templates: Sequence[Template], count: int) -> list[Sentence]:
        """Take one sentence of each template in turn until there are enough, or no more."""
        found: list[Sentence] = []
        left = [one for one in templates if one not in self._exhausted]
        while left and len(found) < count:
            for template in left[: count - len(found)]:
                sentence = self._one(template)
                if sentence is not None:
                    found.append(sentence)
            left = [one for one in left if one not in self._exhausted]
        return found

    def _one(self, template: Template) -> Sentence | None:
        for attempt in range(TRIES if template in self.fruitful else FIRST_TRIES):
            sentence = sample_sentence(
                template,
                self._grammar,
                names=self._names,
                split=self._split,
                draw=self._draw,
                domain=None if attempt % 2 else self._rarest_domain(template),
            )
            if sentence is not None and self._seen.is_new(sentence):
                self.fruitful.add(template)
                self._domains[*template.group, sentence.domain] += 1
                return sentence
        self._exhausted.add(template)
        return None

    def _rarest_domain(self, template: Template) -> str | None:
        counts = {
            domain: self._domains[*template.group, domain] for domain in template.name_domains
        }
        return min(counts, key=lambda domain: counts[domain], default=None)


def _usable(
    templates: Sequence[Template], grammar: Grammar, names: Names
) -> tuple[list[Template], dict[Split, Counter[str]]]:
    usable = []
    skipped: dict[Split, Counter[str]] = {split: Counter() for split in ORDER}
    for template in templates:
        lacking = grammar.lacks(template, names)
        if lacking is None:
            usable.append(template)
        else:
            skipped[template.split][lacking] += 1
    return usable, skipped


def _for_tasks(pool: _Pool, templates: Sequence[Template], amount: Amount) -> list[Sentence]:
    """Sample each intent evenly over its responses."""
    groups: dict[str, dict[str, list[Template]]] = {}
    for template in templates:
        groups.setdefault(template.intent, {}).setdefault(template.response, []).append(template)
    found: list[Sentence] = []
    for _, responses in sorted(groups.items()):
        least: list[Sentence] = []
        for _, group in sorted(responses.items()):
            domains = {domain for template in group for domain in template.name_domains}
            share = max(amount.intent // len(responses), amount.response)
            least += pool.fill(group, max(share, amount.domain * len(domains)))
        everything = [template for group in responses.values() for template in group]
        found += [*least, *pool.fill(everything, amount.intent - len(least))]
    return found


def _labels_known(
    sentences: Sequence[Sentence], trained: Sequence[Sentence] | None
) -> list[Sentence]:
    """Leave out of validation and test what bears a label that training never shows."""
    if trained is None:
        return list(sentences)
    known = {label for sentence in trained for label in _labels(sentence)}
    return [sentence for sentence in sentences if _labels(sentence) <= known]


def _labels(sentence: Sentence) -> set[tuple[str, str]]:
    labels = {("slots", span.label) for span in sentence.spans}
    return labels | {
        ("intent", sentence.intent),
        ("domain", sentence.domain),
        ("response", sentence.response),
    }
