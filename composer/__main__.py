"""Start the command line: `composer`, or `python -m composer`."""

import os

# Threads that wait for each other sleep instead of spinning: where other programs want the
# processor too, training is about twice as fast. OpenMP reads this once, when torch is imported;
# results do not change.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from composer.cli.main import main  # noqa: E402 (after the setting above)

if __name__ == "__main__":
    main()
