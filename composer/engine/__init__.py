"""Stages carried out: the store of results, the plan against it, runs that can be resumed.

Folders, each of which imports only those before it; `looking`, `upkeep` and `commands` do not
know of one another, nor of `running`:

    storage/    results by key, in a folder or at a URL
    planning/   what a run would do, and why
    running/    a plan carried out, by one process, several, or a cluster
    looking/    status, names, differences of lock files
    upkeep/     gc and adopt
    commands/   the recipes that single commands stand for
"""
