"""`composer doctor`: whether everything is here that composer needs."""

from pathlib import Path

import click

from composer.cli.options import json_option, store_option


@click.command()
@store_option
@json_option
def command(store_folder: str | Path, as_json: bool) -> int:
    """Check what composer finds on this machine.

    Python, libraries and extras with their versions, other packages or commands that are called
    composer, accelerator, bfloat16, processors, memory, the store and its disk, and the sample
    backbones. Works where torch is missing or broken. The exit status is 1 if there is a fault.

    \b
    Example:
      composer doctor
      composer doctor --store s3://bucket/store --json
    """
    import json
    from collections import Counter
    from dataclasses import asdict

    from composer.engine.doctor.examination import examine

    checks = []
    for one in examine(store_folder):
        checks.append(one)
        if not as_json:
            click.echo(f"{one.status:<8} {one.name:<22} {one.found}")
            if one.remedy:
                click.echo(f"{'':<31} -> {one.remedy}")
    counts = Counter(one.status for one in checks)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in checks], indent=2, sort_keys=True))
    else:
        click.echo(f"{counts['fault']} faults, {counts['warning']} warnings")
    return 1 if counts["fault"] else 0
