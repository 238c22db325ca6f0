"""`composer.model.version` is raised whenever the same training gives other weights."""

from dataclasses import replace

import numpy as np
from safetensors.numpy import load_file

from composer.model.version import ARITHMETIC
from tests.train.conftest import DEEP, INTENT, TRAINING, Workshop, composition_stage, task_stage

# Of each part: sum, sum of absolute values, and the largest, over all its tensors.
GOLDEN = {
    5: {
        "intent/adapter": [-0.03131, 47.22086, 0.08582],
        "intent/head": [-0.12672, 8.46237, 0.38835],
        "domain/adapter": [119.97448, 194.84593, 1.33386],
        "domain/head": [0.16672, 6.33047, 0.35118],
        "few/composition": [255.31112, 428.62429, 1.23502],
        "few/head": [-0.44968, 6.00336, 0.19012],
        "first/adapter": [-1.88327, 42.03574, 0.07219],
        "first/head": [-0.3338, 6.77855, 0.2081],
        "still/adapter": [-0.89937, 47.39608, 0.09341],
        "still/head": [-0.64052, 10.494, 0.40934],
    }
}


def test_trained_weights_are_those_of_this_version(workshop: Workshop):
    folders = [
        workshop.run(task_stage("intent")),
        workshop.run(task_stage("domain", data="domain.csv", shape=DEEP)),
        workshop.run(composition_stage("fuse(intent, domain, none)")),
        workshop.run(task_stage("first", task=replace(INTENT, pooling="first"))),
        workshop.run(task_stage("still", training=TRAINING.model_copy(update={"dropout": False}))),
    ]
    found = {
        f"{folder.parent.name}/{file.stem}": summary(load_file(file))
        for folder in folders
        for file in sorted(folder.glob("*.safetensors"))
    }
    assert found.keys() == GOLDEN[ARITHMETIC].keys(), repr(found)
    for name, expected in GOLDEN[ARITHMETIC].items():
        # Processors round differently; another arithmetic is further away than this.
        assert np.allclose(found[name], expected, rtol=1e-2, atol=1e-2), (name, found[name])


def summary(tensors: dict[str, np.ndarray]) -> list[float]:
    values = np.concatenate([tensors[name].ravel() for name in sorted(tensors)]).astype(np.float64)
    return [round(float(x), 5) for x in (values.sum(), np.abs(values).sum(), values.max())]
