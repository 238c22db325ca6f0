"""What a process imports before it is forked for `tests.warm`."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402

import composer.cli.main
import composer.cli.progress
import composer.engine.running.run
import composer.report.tables
import composer.train.stages  # noqa: F401

torch.set_num_threads(1)  # a fork has no other threads
