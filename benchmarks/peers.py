"""The peers' side: `adapters` with its AdapterTrainer, `peft` with transformers' Trainer.

Each as its own documentation says: https://docs.adapterhub.ml/training and the example script
`run_glue.py` that it explains (batches of 32; `--pad_to_max_length`, on by default, pads to 128
tokens; off, the collator pads to the longest of the batch), in float32, with the loss and
dropout of the model. Evaluation, saving and logging are off.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapters
import torch
import transformers
from adapters.composition import BatchSplit, Fuse
from setting import SEED, Utterances

transformers.utils.logging.set_verbosity_error()  # heads are new and weights random: it is known

BATCH = 32
PADDED = 128
_LEARNING_RATE = 1e-4


def tokenizer_of(folder: Path) -> transformers.PreTrainedTokenizerFast:
    """Load the tokenizer as the library's collator wants it."""
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]"
    )


def with_adapter(folder: Path, data: Utterances, *, config: str = "seq_bn") -> Any:
    """Load BERT with one adapter and a head, ready to train the two."""
    model = _with_head(folder, data)
    model.add_adapter("task", config=config)
    model.train_adapter("task")
    return model


def with_fusion(
    folder: Path, data: Utterances, members: int, *, config: str = "seq_bn", train: bool = True
) -> Any:
    """Load BERT with a fusion of several adapters and a head."""
    model = _with_head(folder, data)
    names = [f"a{number}" for number in range(members)]
    for name in names:
        model.add_adapter(name, config=config)
    fusion = Fuse(*names)
    model.add_adapter_fusion(fusion)
    if train:
        model.train_adapter_fusion(fusion)
    else:
        model.set_active_adapters(fusion)
        model.active_head = "task"
    return model


def with_split(folder: Path, data: Utterances, members: int, rows: int) -> Any:
    """Load BERT with several adapters, each of which acts on as many rows of a batch."""
    model = _with_head(folder, data)
    names = [f"a{number}" for number in range(members)]
    for name in names:
        model.add_adapter(name, config="seq_bn")
    model.set_active_adapters(BatchSplit(*names, batch_sizes=[rows // members] * members))
    model.active_head = "task"
    return model


def _with_head(folder: Path, data: Utterances) -> Any:
    torch.manual_seed(SEED)
    model = adapters.AutoAdapterModel.from_pretrained(folder)
    model.add_classification_head("task", num_labels=len(data.classes))
    return model


def with_lora(folder: Path, data: Utterances, *, rank: int) -> Any:
    """Load BERT with peft's LoRA in the query and value products, and a head."""
    import peft

    torch.manual_seed(SEED)
    model = transformers.BertForSequenceClassification.from_pretrained(
        folder, num_labels=len(data.classes)
    )
    config = peft.LoraConfig(task_type="SEQ_CLS", r=rank, lora_alpha=rank)
    return peft.get_peft_model(model, config)


def trained(
    model: Any,
    folder: Path,
    data: Utterances,
    out: Path,
    *,
    padded: int | None = None,
    trainer: type[transformers.Trainer] = adapters.AdapterTrainer,
    epochs: int = 1,
) -> Callable[[], float]:
    """Make a side that trains so many passes over the data and gives the seconds of `train()`."""
    tokenizer = tokenizer_of(folder)
    one = trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(out),
            num_train_epochs=epochs,
            per_device_train_batch_size=BATCH,
            learning_rate=_LEARNING_RATE,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            seed=SEED,
        ),
        train_dataset=_rows(data, tokenizer, padded),
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
    )

    one.remove_callback(transformers.PrinterCallback)

    def side() -> float:
        start = time.perf_counter()
        one.train()
        return time.perf_counter() - start

    return side


def _rows(
    data: Utterances, tokenizer: transformers.PreTrainedTokenizerFast, padded: int | None
) -> Any:
    """Tokenize beforehand, as the example scripts do."""
    import datasets

    number = {label: index for index, label in enumerate(data.classes)}
    padding = {"padding": "max_length", "max_length": padded} if padded else {}
    encoded = tokenizer(data.texts, truncation=padded is not None, **padding)
    columns = {**encoded, "labels": [number[label] for label in data.labels]}
    return datasets.Dataset.from_dict(columns)
