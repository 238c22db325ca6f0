"""One label of several, as a task of its own: yes where an example has it, else no.

    {source: sample, name: assistant/entities, label: area}

    turn on the lamp in the hall   area, name   ->   yes
    turn on the lamp               name         ->   no

So each label can have an adapter of its own, trained by itself: a label that is added later
trains one adapter more, and none anew.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from composer.data.examples import Example
from composer.data.splits import labels_of
from composer.errors import DataError, Fault, did_you_mean
from composer.recipe.grammar.data import Split

YES, NO = "yes", "no"


def one_label(examples: Sequence[Example], label: str, *, split: Split) -> list[Example]:
    """Say of each example whether it has a label.

    Raises:
        DataError: No training example has it; the nearest that one has is named.

    >>> [one.label for one in one_label([Example(text="a", label=("x", "y"))], "y", split="train")]
    ['yes']
    """
    known = Counter(one for example in examples for one in labels_of(example))
    if split == "train" and examples and label not in known:
        place = examples[0].place.rpartition(":")[0] or "train split"
        message = f"no example has the label {label!r}; {did_you_mean(label, sorted(known))}"
        raise DataError([Fault(place, message)])
    return [replace(one, label=YES if label in labels_of(one) else NO) for one in examples]
