"""The folder that the pages of the reference speak of: `home.yaml`, its data, its results."""

from pathlib import Path

RECIPE = """\
composer: 1
name: home
backbone: {source: sample, name: multilingual-e5-small}
adapters:
  task: {kind: bottleneck, width: 4}
  language: {kind: bottleneck, width: 4}
data:
  text: {source: files, path: text/$language.txt}
  intent: {source: files, path: intent.csv, columns: {text: utterance, label: intent}}
  domain: {source: files, path: domain.csv, columns: {text: utterance, label: domain}}
  slots: {source: files, path: slots.jsonl}
training: {epochs: 1, threads: 1}
languages: {members: [en, fi], data: text, adapter: language, head: own}
tasks:
  intent: {type: text-classification, data: intent, languages: [en], adapter: task}
  domain: {type: text-classification, data: domain, languages: [en], adapter: task}
  mad-x:
    type: text-classification
    data: intent
    languages: [en]
    adapter: task
    over: $language
  slots: {type: token-classification, data: slots, languages: [en], adapter: task}
compositions:
  alone: intent
  few-shot:
    expression: fuse(intent, domain)
    train: {task: intent, examples: 30}
evaluations:
  zero-shot: {compositions: [alone, few-shot, mad-x], languages: [en, fi], without_language: true}
bundles:
  home: {compositions: [few-shot, intent, slots], precision: float32}
profiles:
  smoke: {training: {epochs: 1}}
leakage: {near: 1} # all sentences here are of one pattern
"""
_VERBS = {"on": "HassTurnOn", "off": "HassTurnOff"}
_THINGS = ("lamp", "light", "music", "door")
_ROOMS = ("kitchen", "bedroom", "living room")


def write_home(folder: Path) -> Path:
    """Write the files of the project; nothing is trained yet."""
    for name in ("text", "words", "new"):
        (folder / name).mkdir(parents=True)
    (folder / "home.yaml").write_text(RECIPE)
    rows = [
        (f"turn {verb} the {thing} in the {room} {number}", intent, thing, room)
        for number in range(3)
        for verb, intent in _VERBS.items()
        for thing in _THINGS
        for room in _ROOMS
    ]
    tables = {
        "intent": ("intent", [(text, intent) for text, intent, _, _ in rows]),
        "domain": ("domain", [(text, thing) for text, _, thing, _ in rows]),
        "test": ("intent", [(text, intent) for text, intent, _, _ in rows[:24]]),
        "train": ("intent", [(text, intent) for text, intent, _, _ in rows[24:]]),
    }
    for name, (label, pairs) in tables.items():
        lines = [f"utterance,{label}", *(f"{text},{value}" for text, value in pairs)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    spans = (
        f'{{"text": "{text}", "spans": [{{"start": {text.index(room)}, '
        f'"end": {text.index(room) + len(room)}, "label": "area"}}]}}'
        for text, _, _, room in rows
    )
    (folder / "slots.jsonl").write_text("\n".join(spans) + "\n")
    for language in ("en", "de", "fr", "fi"):
        text = "\n".join(row[0] for row in rows) + "\n"
        for name in ("text", "words", "new"):
            (folder / name / f"{language}.txt").write_text(text)
    return folder
