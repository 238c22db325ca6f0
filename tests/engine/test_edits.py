"""A table of edits of a recipe, what each one makes anew, and the reason that is told.

Every key of the grammar is in the table, or among those that are no edit of their own.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args, get_origin

import pytest
from pydantic import BaseModel

from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.model.version import ARITHMETIC
from composer.recipe.grammar.adapters import AdapterShape
from composer.recipe.grammar.schema import Recipe
from composer.recipe.reading.reader import read_recipe
from tests.engine.fakes import FakeRunners, write_backbone

RECIPE = """\
composer: 1
name: home
backbone: {source: folder, path: backbone, precision: float32}
adapters:
  task: {kind: madapter, width: 4}
  plain: {kind: bottleneck, width: 3}
  language: {kind: bottleneck, width: 2}
data:
  text: {source: files, path: text/$language.txt}
  intent: {source: files, path: intent.csv}
  domain: {source: files, path: domain.csv}
  more: {source: files, path: more.csv}
training: {epochs: 2, learning_rate: 1.0e-3}
languages: {members: {en: {}, de: {}}, head: own, data: text, adapter: language}
tasks:
  intent: {type: text-classification, data: intent, languages: [en], adapter: task}
  domain:
    {type: text-classification, data: domain, languages: [en], adapter: plain, over: $language}
compositions:
  few-shot:
    expression: $language > fuse(intent, domain)
    train: {task: intent, languages: [en], examples: 20}
  mean: {expression: "average(intent, domain)", task: intent}
evaluations:
  far: {compositions: [few-shot], languages: [en, de]}
  near: {compositions: [mean], languages: [en]}
bundles:
  home: {compositions: [few-shot], languages: [de]}
profiles:
  smoke: {training: {epochs: 1}}
"""
EN, DE, HEAD = "language/en", "language/de", "language-head/shared"
INTENT, DOMAIN, FEW = "task/intent", "task/domain", "composition/few-shot"
FAR_EN, FAR_DE, NEAR = (
    "evaluation/far/few-shot/en",
    "evaluation/far/few-shot/de",
    "evaluation/near/mean/en",
)
BUNDLE = "bundle/home"
USES_FEW = {FEW, FAR_EN, FAR_DE, BUNDLE}
USES_INTENT = {INTENT, *USES_FEW, NEAR}
USES_DOMAIN = {DOMAIN, *USES_FEW, NEAR}
USES_EN = {EN, *USES_DOMAIN}
USES_DE = {DE, FAR_DE, BUNDLE}
ALL = USES_INTENT | USES_EN | USES_DE
TRAINED = {EN, DE, INTENT, DOMAIN, FEW}


@dataclass(frozen=True)
class Edit:
    """An edit: of the text of the recipe, by `--set`, with a profile, or of a file."""

    keys: str  # of the grammar, that it covers: "Training.epochs"
    replaced: Mapping[str, str] = field(default_factory=dict)
    anew: frozenset[str] | set[str] = frozenset()
    reasons: Mapping[str, str] = field(default_factory=dict)  # stage -> a reason at the root
    changes: tuple[str, ...] = ()
    profile: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        said = [*self.replaced.values(), *self.changes, *self.files, *filter(None, [self.profile])]
        return f"{self.keys.split()[0]}: {' '.join(said[0].split())[:40]}"


def same(stages: set[str], reason: str) -> dict[str, str]:
    return dict.fromkeys(sorted(stages), reason)


def training(name: str, value: str, before: str, *, trained: set[str] = TRAINED) -> Edit:
    """Edit a field of `training`, which all that is trained depends on."""
    return Edit(
        f"Training.{name}",
        changes=(f"training.{name}={value}",),
        anew=ALL if trained == TRAINED else USES_FEW,
        reasons=same(trained, f"training.{name}: {before} -> {_json(value)}"),
    )


def _json(text: str) -> str:
    return text if text[0].isdigit() or text == "false" else f'"{text}"'


def shape(name: str, value: str, before: str) -> Edit:
    """Edit the shape of the adapter that `task/intent` trains."""
    return Edit(
        f"_Bottleneck.{name}",
        changes=(f"adapters.task.{name}={value}",),
        anew=USES_INTENT,
        reasons={INTENT: f"adapters.task.{name}: {before} -> {_json(value)}"},
    )


NOTHING = [
    # Only labels, places, order and words: nothing is trained again.
    Edit("Recipe.name", {"name: home": "name: house"}),
    Edit("Recipe.composer", {"composer: 1": "# a remark\ncomposer: 1"}),
    Edit("Recipe.adapters",
         {"  language: {kind": "  lang: {kind", "adapter: language": "adapter: lang"}),
    Edit("Recipe.data", {"intent: {source": "asked: {source", "data: intent": "data: asked"}),
    Edit("Languages.members", {"{en: {}, de: {}}": "[de, en]"}),
    Edit("Recipe.tasks", {
        "  intent: {type": "  z: {type", "fuse(intent,": "fuse(z,", "task: intent": "task: z",
        "average(intent,": "average(z,",
    }, anew={BUNDLE}),
    Edit("Recipe.compositions", {"few-shot": "few"}, anew={BUNDLE}),
    Edit("Recipe.evaluations", {"  far:": "  away:"}, anew={BUNDLE}),
    Edit("Recipe.bundles", {"bundles:\n  home:": "bundles:\n  house:"}),
    Edit("Recipe.profiles", {"epochs: 1}": "epochs: 7}"}),
    Edit("Evaluation.languages", {"languages: [en, de]}": "languages: [de, en]}"}),
    Edit("FolderBackbone.path", files={"backbone": "moved/backbone"},
         replaced={"path: backbone": "path: moved/backbone"}),
    Edit("FileData.path", {"path: intent.csv": "path: moved.csv"},
         files={"intent.csv": "moved.csv"}),
    Edit("Training.checkpoint_steps", changes=("training.checkpoint_steps=7",)),
    Edit("Training.prepack", changes=("training.prepack=true",)),
    Edit("ComposedOf.task",
         {"$language > fuse(intent, domain)": '"$language>fuse(intent,domain)"'}),
    Edit("FolderBackbone.precision", {"precision: float32": "precision: auto"}),
    Edit("Recipe.leakage Leakage.exact Leakage.near", changes=("leakage={exact: 1, near: 1}",)),
    Edit("Recipe.trackers", changes=("trackers=[tensorboard]",)),
    Edit("Member.adapter", {"en: {}": "en: {adapter: language}"}),
    Edit("Member.data", {"en: {}": "en: {data: text}"}),
    Edit("Recipe.include",
         {"  intent: {source: files, path: intent.csv}\n": "",
          "composer: 1\n": "composer: 1\ninclude: [parts/data.yaml]\n"},
         files={"parts/data.yaml": "data:\n  intent: {source: files, path: intent.csv}\n"}),
]  # fmt: skip

AGAIN = [
    training("epochs", "3", "2"),
    training("batch_tokens", "2048", "1024"),
    training("batch_examples", "8", "absent"),
    training("learning_rate", "0.5", "0.001"),
    training("head_learning_rate", "0.5", "null"),
    training("warmup", "0.5", "0.1"),
    training("decay", "cosine", '"linear"'),
    training("weight_decay", "0.5", "0.01"),
    training("clip", "2.5", "1.0"),
    training("patience", "3", "null"),
    training("dropout", "false", "true"),
    training("fusion_regularizer", "0.5", "0.01", trained={FEW}),
    training("seed", "14", "13"),
    training("threads", "1", "2"),
    training("processes", "3", "absent"),
    Edit("_Bottleneck.placement", changes=("adapters.language.placement=pfeiffer",),
         anew=USES_EN | USES_DE,
         reasons=same({EN, DE}, 'adapters.language.placement: "houlsby" -> "pfeiffer"')),
    shape("width", "5", "4"),
    shape("non_linearity", "tanh", '"relu"'),
    shape("bias", "false", "true"),
    shape("dropout", "0.5", "0.0"),
    shape("scaling", "0.5", "1.0"),
    Edit("_Bottleneck.form", changes=("adapters.language.form=parallel",), anew=USES_EN | USES_DE,
         reasons=same({EN, DE}, 'adapters.language.form: "sequential" -> "parallel"')),
    shape("init", "xavier", '"normal"'),
    Edit("_Bottleneck.sparsity Sparsity.method Sparsity.ratio",
         changes=("adapters.task.sparsity={method: random, ratio: 0.5}",), anew=USES_INTENT,
         reasons={INTENT: "adapters.task.sparsity"}),
    Edit("AdaMix.kind AdaMix.experts",
         {"kind: madapter, width: 4": "kind: adamix, width: 4, experts: 2"}, USES_INTENT,
         {INTENT: 'adapters.task.kind: "madapter" -> "adamix"'}),
    Edit("_Bottleneck.reduction_factor", {"width: 4": "reduction_factor: 4"}, USES_INTENT,
         {INTENT: "adapters.task.reduction_factor: null -> 4.0"}),
    Edit("_Bottleneck.leave_out", changes=("adapters.task.leave_out=[0]",), anew=USES_INTENT,
         reasons={INTENT: "adapters.task.leave_out: [] -> [0]"}),
    Edit("_Bottleneck.train_norm", changes=("adapters.task.train_norm=true",), anew=USES_INTENT,
         reasons={INTENT: "adapters.task.train_norm: false -> true"}),
    Edit("_Bottleneck.invertible", changes=("adapters.language.invertible=true",),
         anew=USES_EN | USES_DE,
         reasons=same({EN, DE}, "adapters.language.invertible: false -> true")),
    Edit("MAdapter.middle_layers", changes=("adapters.task.middle_layers=2",), anew=USES_INTENT,
         reasons={INTENT: "adapters.task.middle_layers: 1 -> 2"}),
    Edit("MAdapter.kind BottleneckAdapter.kind", {"kind: madapter": "kind: bottleneck"},
         USES_INTENT,
         {INTENT: 'adapters.task.kind: "madapter" -> "bottleneck"'}),
    Edit("Task.adapter", {"languages: [en], adapter: task": "languages: [en], adapter: plain"},
         USES_INTENT, {INTENT: "adapters.plain.width: 4 -> 3"}),
    Edit("TrainingChanges.learning_rate Task.training",
         {"adapter: task}": "adapter: task, training: {learning_rate: 0.5}}"}, USES_INTENT,
         {INTENT: "tasks.intent.training.learning_rate: 0.001 -> 0.5"}),
    Edit("Languages.training", {"adapter: language}": "adapter: language, training: {seed: 5}}"},
         USES_EN | USES_DE, same({EN, DE}, "languages.training.seed: 13 -> 5")),
    Edit("Member.training", {"de: {}": "de: {training: {seed: 5}}"}, USES_DE,
         {DE: "languages.members.de.training.seed: 13 -> 5"}),
    Edit("CompositionTraining.training", {"examples: 20}": "examples: 20, training: {seed: 5}}"},
         USES_FEW, {FEW: "compositions.few-shot.train.training.seed: 13 -> 5"}),
    Edit("Task.type", {"intent: {type: text-classification": "intent: {type: token-classification"},
         USES_INTENT, same({INTENT, FEW},
                           'tasks.intent.type: "text-classification" -> "token-classification"')),
    Edit("Task.data", {"data: intent, languages": "data: more, languages"},
         USES_INTENT, same({INTENT, FEW}, "the content of data.more: ")),
    Edit("Task.languages", {"data: intent, languages: [en]": "data: intent, languages: [en, de]"},
         USES_INTENT, {INTENT: 'tasks.intent.languages: ["en"] -> ["en", "de"]'}),
    Edit("Task.over", {"over: $language}": "}"}, USES_DOMAIN,
         {DOMAIN: "language/en is not used any more"}),
    Edit("Task.cycle", {"over: $language": "cycle: [en, de]"}, USES_DOMAIN,
         {DOMAIN: 'tasks.domain.cycle: absent -> ["en", "de"]'}),
    Edit("Task.temperature",
         {"data: intent, languages: [en]": "data: intent, temperature: 2.0, languages: [en, de]"},
         USES_INTENT, {INTENT: "tasks.intent.temperature: absent -> 2.0"}),
    Edit("CompositionTraining.temperature",
         {"[en], examples: 20": "[en, de], temperature: 2.0, examples: 20"}, USES_FEW,
         {FEW: "compositions.few-shot.train.temperature: absent -> 2.0"}),
    Edit("Languages.proxies",
         {"data: text, adapter": "proxies: {nl: {de: 0.5, en: 0.5}}, data: text, adapter",
          "far: {compositions: [few-shot], languages: [en, de]}":
          "far: {compositions: [few-shot], languages: [en, de, nl]}"},
         {"evaluation/far/few-shot/nl"}, {"evaluation/far/few-shot/nl": "never made"}),
    Edit("Task.examples", changes=("tasks.intent.examples=9",), anew=USES_INTENT,
         reasons={INTENT: "tasks.intent.examples: null -> 9"}),
    Edit("Task.labels", changes=("tasks.intent.labels=[a, b]",), anew=USES_INTENT,
         reasons=same({INTENT, FEW}, 'tasks.intent.labels: null -> ["a", "b"]')),
    Edit("Task.pooling", changes=("tasks.intent.pooling=first",), anew=USES_INTENT,
         reasons=same({INTENT, FEW}, 'tasks.intent.pooling: "mean" -> "first"')),
    Edit("Task.score", changes=("tasks.intent.score=macro-f1",), anew=USES_INTENT,
         reasons=same({INTENT, FEW}, 'tasks.intent.score: "accuracy" -> "macro-f1"')),
    Edit("ComposedOf.expression", {"fuse(intent, domain)": "gate(intent, domain)"}, USES_FEW,
         {FEW: "compositions.few-shot.expression: "
               '"$language > fuse(part1, part2)" -> "$language > gate(part1, part2)"'}),
    Edit("ComposedOf.train CompositionTraining.examples", {"examples: 20": "examples: 21"},
         USES_FEW,
         {FEW: "compositions.few-shot.train.examples: 20 -> 21"}),
    Edit("CompositionTraining.task", {"train: {task: intent": "train: {task: domain"}, USES_FEW,
         {FEW: "the content of data.domain: "}),
    Edit("CompositionTraining.languages", {"[en], examples: 20": "[en, de], examples: 20"},
         USES_FEW, {FEW: 'compositions.few-shot.train.languages: ["en"] -> ["en", "de"]'}),
    Edit("CompositionTraining.train_norm", {"examples: 20}": "examples: 20, train_norm: true}"},
         USES_FEW, {FEW: "compositions.few-shot.train.train_norm: null -> true"}),
    Edit("Languages.data Recipe.languages",
         {"data: text, adapter": "data: words, adapter",
          "data:\n": "data:\n  words: {source: files, path: words/$language.txt}\n"},
         USES_EN | USES_DE, same({EN, DE}, "the content of data.words: ")),
    Edit("Languages.pack_tokens", {"head: own": "head: own, pack_tokens: 16"}, USES_EN | USES_DE,
         same({EN, DE}, "languages.pack_tokens: absent -> 16")),
    Edit("Languages.whole_words", {"head: own": "head: own, whole_words: true"},
         USES_EN | USES_DE, same({EN, DE}, "languages.whole_words: absent -> true")),
    Edit("Languages.head LanguageHead.languages LanguageHead.training",
         {"head: own": "head: {languages: [en], training: {seed: 5}}"},
         {HEAD, *USES_EN, *USES_DE},
         {HEAD: "never made", **same({EN, DE}, "language-head/shared is made anew")}),
    Edit("Languages.losses TextLosses.languages TextLosses.adapters TextLosses.split",
         {"head: own": "losses: {languages: [en], adapters: [de], split: validation}"},
         {HEAD, *USES_EN, *USES_DE, "language-loss/none/en", "language-loss/de/en"},
         {"language-loss/de/en": "never made"}),
    Edit("Languages.adapter", {"data: text, adapter: language": "data: text, adapter: plain"},
         USES_EN | USES_DE, same({EN, DE}, "adapters.plain.width: 2 -> 3")),
    Edit("Evaluation.without_language", {"far: {": "far: {without_language: true, "},
         {f"evaluation/far/few-shot.without-language/{tag}" for tag in ("en", "de")},
         {"evaluation/far/few-shot.without-language/de": "never made"}),
    Edit("Evaluation.split", {"far: {compositions": "far: {split: validation, compositions"},
         {FAR_EN, FAR_DE, BUNDLE}, same({FAR_EN, FAR_DE},
                                        'evaluations.far.split: "test" -> "validation"')),
    Edit("Evaluation.data", {"far: {compositions": "far: {data: more, compositions"},
         {FAR_EN, FAR_DE, BUNDLE}, same({FAR_EN, FAR_DE}, "the content of data.more: ")),
    Edit("Evaluation.compositions",
         {"far: {compositions: [few-shot]": "far: {compositions: [mean]"},
         {"evaluation/far/mean/de", BUNDLE}, {"evaluation/far/mean/de": "never made"}),
    Edit("Evaluation.languages", {"languages: [en, de]}": "languages: [en]}"}, {BUNDLE},
         {BUNDLE: "evaluation/far/few-shot/de is not used any more"}),
    Edit("Bundle.compositions", {"home: {compositions: [few-shot]": "home: {compositions: [mean]"},
         {BUNDLE}, {BUNDLE: 'bundles.home.compositions: ["few-shot:de"] -> ["mean"]'}),
    Edit("Bundle.languages", {"languages: [de]}": "languages: [en]}"}, {BUNDLE},
         {BUNDLE: "language/en is used now"}),
    Edit("Bundle.precision", changes=("bundles.home.precision=int8",), anew={BUNDLE},
         reasons={BUNDLE: 'bundles.home.precision: null -> "int8"'}),
    Edit("Bundle.part_precision", changes=("bundles.home.part_precision=float16",), anew={BUNDLE},
         reasons={BUNDLE: 'bundles.home.part_precision: "float32" -> "float16"'}),
    Edit("Bundle.vocabulary Vocabulary.data Vocabulary.languages Vocabulary.pieces",
         changes=("bundles.home.precision=int8",
                  "bundles.home.vocabulary={data: text, languages: [de], pieces: 9}"),
         anew={BUNDLE}, reasons={BUNDLE: "bundles.home.vocabulary.pieces: "}),
    Edit("Bundle.static StaticShape.batch StaticShape.tokens",
         changes=("bundles.home.precision=int8", "bundles.home.static={tokens: 16}"),
         anew={BUNDLE}, reasons={BUNDLE: "bundles.home.static"}),
    Edit("Recipe.backbone FolderBackbone.source", {"path: backbone": "path: other"}, ALL,
         same(TRAINED | {NEAR}, "the backbone's weights: ")),
    Edit("FolderBackbone.precision", {"precision: float32": "precision: bfloat16"}, ALL,
         same(TRAINED, 'backbone.precision: "float32" -> "bfloat16"')),
    Edit("FolderBackbone.max_tokens", changes=("backbone.max_tokens=16",), anew=ALL,
         reasons=same(TRAINED, "backbone.max_tokens: null -> 16")),
    Edit("FileData.truncate", changes=("data.domain.truncate=true",), anew=USES_DOMAIN,
         reasons={DOMAIN: "data.domain.truncate: false -> true"}),
    Edit("FileData.label", changes=("data.domain.label=domain",), anew=USES_DOMAIN,
         reasons={DOMAIN: 'data.domain.label: absent -> "domain"'}),
    Edit("FileData.columns Columns.label", changes=("data.domain.columns.label=kind",),
         anew=USES_DOMAIN, reasons={DOMAIN: 'data.domain.columns.label: null -> "kind"'}),
    Edit("FileData.path SplitPaths.train SplitPaths.test", {
         "path: domain.csv": "path: {train: domain.csv, test: more.csv}"}, USES_DOMAIN,
         {DOMAIN: "data.domain.path"}),
    Edit("FileData.source", files={"domain.csv": "text,label\nall,new\nrows,here\n"},
         anew=USES_DOMAIN, reasons={DOMAIN: "the content of data.domain: "}),
    Edit("FileData.source", files={"text/de.txt": "other words\n"}, anew=USES_DE,
         reasons={DE: "the content of data.text: "}),
    Edit("Recipe.training Recipe.profiles", profile="smoke", anew=ALL,
         reasons=same(TRAINED, "training.epochs: 2 -> 1")),
    Edit("Languages.members", {"de: {}}": "de: {}, fr: {}}"}, {"language/fr"},
         {"language/fr": "never made"}),
    Edit("Recipe.tasks", {"compositions:\n": "  third: {type: text-classification, data: more, "
         "languages: [en], adapter: task}\ncompositions:\n"}, {"task/third"},
         {"task/third": "never made"}),
]  # fmt: skip

# Keys that no edit above can show alone, and why.
OTHERWISE = {
    "SampleBackbone": "of another source; its fields are the folder's",
    "HubBackbone": "of another source; its fields are the folder's",
    "SampleData": "of another source; what it draws is in the data's digest",
    "HubData": "of another source; its fields are the files'",
    "HubSplits": "of another source; see test_keys",
    "HubShape": "only counts until the backbone is fetched; its config decides",
    "Lora": "in the table of `test_edits_of_kinds`",
    "Prefix": "in the table of `test_edits_of_kinds`",
    "Prompt": "in the table of `test_edits_of_kinds`",
    "BitFit": "in the table of `test_edits_of_kinds`",
    "Full": "has no key but its kind",
    "Methods": "in the table of `test_edits_of_comparisons`",
    "Grid": "one field is changed there; they are those of Training",
    "Recipe.compare": "in the table of `test_edits_of_comparisons`",
    "Columns": "one column is changed above, and all are spelt alike",
    "SplitPaths.validation": "as train and test",
    "TrainingChanges": "one field is changed in each place above; they are those of Training",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose recipe was run; not to be changed."""
    folder = tmp_path_factory.mktemp("edits") / "project"
    write_backbone(folder / "backbone")
    write_backbone(folder / "other", seed=1)
    for kind in ("text", "words"):
        (folder / kind).mkdir()
        for language in ("en", "de", "fr"):
            (folder / kind / f"{language}.txt").write_text(f"{kind} of {language}\n")
    for task in ("intent", "domain", "more"):
        (folder / f"{task}.csv").write_text(f"text,label\nlights on,{task}\nstop,other\n")
    run_stages(plan_in(folder), Store(folder / "store"), RunOptions(runners=FakeRunners()))
    return folder


def plan_in(
    folder: Path, text: str = RECIPE, changes: tuple[str, ...] = (), profile: str | None = None
) -> Plan:
    recipe = folder / "home.yaml"
    recipe.write_text(text)
    loaded = read_recipe(recipe, changes=changes, profile=profile)
    return make_plan(wanted_of(loaded), Store(folder / "store"))


def carry_out(edit: Edit, made: Path, elsewhere: Path) -> Plan:
    """Make an edit, and plan; files are edited in a copy."""
    folder = shutil.copytree(made, elsewhere / "project") if edit.files else made
    text = RECIPE
    for old, new in edit.replaced.items():
        assert old in text
        text = text.replace(old, new)
    for name, content in edit.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        if "\n" in content:
            (folder / name).write_text(content)
        else:
            (folder / content).parent.mkdir(exist_ok=True)
            (folder / name).rename(folder / content)
    return plan_in(folder, text, edit.changes, edit.profile)


@pytest.fixture(autouse=True)
def _float32_is_what_auto_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("composer.engine.planning.machine.BFLOAT16_FLAGS", frozenset())


def anew(plan: Plan) -> set[str]:
    return {one.stage.name for one in plan.stages if one.state != "done"}


@pytest.mark.parametrize("edit", NOTHING, ids=str)
def test_what_only_has_another_name_place_or_order_is_not_trained_again(
    edit: Edit, made: Path, tmp_path: Path
):
    assert edit.anew <= {BUNDLE}
    assert anew(carry_out(edit, made, tmp_path)) == edit.anew


@pytest.mark.parametrize("edit", AGAIN, ids=str)
def test_an_edit_makes_anew_what_rests_on_it_and_nothing_else(
    edit: Edit, made: Path, tmp_path: Path
):
    after = carry_out(edit, made, tmp_path)
    found = {one.stage.name: [str(reason) for reason in one.reasons] for one in after.stages}
    there = found.keys()
    assert anew(after) == edit.anew & there
    for stage, reason in edit.reasons.items():
        assert any(one.startswith(reason) for one in found[stage]), found[stage]
    for stage in edit.anew & there:
        roots = [one for one in found[stage] if not one.endswith("is made anew")]
        assert found[stage]
        if stage in TRAINED - set(edit.reasons):
            assert not roots, f"{stage} names an edit that is another stage's"


KINDS = {
    "lora": ("rank=4", "alpha=8.0", "targets=[key]", "dropout=0.1", "merge=false",
             "leave_out=[1]", "train_norm=true"),
    "prefix": ("length=5", "leave_out=[1]", "train_norm=true"),
    "prompt": ("length=5", "train_norm=true"),
    "bitfit": ("leave_out=[1]", "train_norm=true"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_edits_of_kinds(made: Path, kind: str):
    """Each key of a kind is part of the key of what is trained, and of nothing beside it."""
    text = RECIPE.replace("{kind: bottleneck, width: 2}", f"{{kind: {kind}}}")
    keys = {one.stage.name: one.key for one in plan_in(made, text).stages}
    (shape,) = (one for one in get_args(get_args(AdapterShape)[0]) if _kind_of(one) == kind)
    assert {edit.partition("=")[0] for edit in KINDS[kind]} == shape.model_fields.keys() - {"kind"}
    for edit in KINDS[kind]:
        after = plan_in(made, text, (f"adapters.language.{edit}",))
        changed = {one.stage.name for one in after.stages if one.key != keys[one.stage.name]}
        assert changed == USES_EN | USES_DE, edit
    same = plan_in(made, text.replace(f"kind: {kind}", f"kind: {kind}, train_norm: false"))
    assert {one.stage.name: one.key for one in same.stages} == keys


def _kind_of(shape: type[BaseModel]) -> str:
    (kind,) = get_args(shape.model_fields["kind"].annotation)
    return str(kind)


def test_the_same_again_makes_nothing_anew(made: Path):
    assert anew(plan_in(made)) == set()


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        (
            "composer.engine.planning.machine.ARITHMETIC",
            ARITHMETIC + 1,
            "version of composer's arithmetic: ",
        ),
        (
            "composer.engine.planning.machine.version",
            lambda name: f"9.{len(name)}",
            "version of torch: ",
        ),
    ],
)
def test_another_version_makes_all_anew_and_is_named(
    made: Path, monkeypatch: pytest.MonkeyPatch, where: str, value: object, reason: str
):
    monkeypatch.setattr(where, value)
    after = plan_in(made)
    assert anew(after) == ALL
    for one in after.stages:
        assert any(str(found).startswith(reason) for found in one.reasons)


def test_precision_that_is_another_here_is_the_reason(made: Path, monkeypatch: pytest.MonkeyPatch):
    text = RECIPE.replace("precision: float32", "precision: auto")
    assert anew(plan_in(made, text)) == set()
    monkeypatch.setattr(
        "composer.engine.planning.plan.resolve_precision", lambda precision: "bfloat16"
    )
    after = plan_in(made, text)
    assert anew(after) == ALL
    reason = 'backbone.precision: "float32" -> "bfloat16"'
    assert reason in map(str, after.by_name[INTENT].reasons)


def blocks(kind: object, seen: dict[str, type[BaseModel]]) -> Iterator[None]:
    """Collect every block of the grammar that a type leads to."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind.__name__ not in seen:
            seen[kind.__name__] = kind
            for one in kind.model_fields.values():
                yield from blocks(one.annotation, seen)
        return
    if get_origin(kind) is not None or get_args(kind):
        for inner in get_args(kind):
            yield from blocks(inner, seen)


def test_every_key_of_the_grammar_is_in_the_table_or_says_why_not():
    seen: dict[str, type[BaseModel]] = {}
    list(blocks(Recipe, seen))
    keys = set()
    for name, block in seen.items():
        own_keys = {
            "BottleneckAdapter": {"kind"},
            "MAdapter": {"kind", "middle_layers"},
            "AdaMix": {"kind", "experts"},
        }
        shared, own = "_Bottleneck" if name in own_keys else name, own_keys.get(name, set())
        keys |= {f"{name if key in own else shared}.{key}" for key in block.model_fields}
    covered = {key for edit in (*NOTHING, *AGAIN) for key in edit.keys.split()}
    assert covered <= keys
    left = {key for key in keys - covered if not {key, key.split(".")[0]} & OTHERWISE.keys()}
    assert left == set(), "add an edit of these keys to the table"
    assert all(key in keys or any(one.startswith(f"{key}.") for one in keys) for key in OTHERWISE)
