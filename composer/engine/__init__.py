"""Stages carried out: the store of results, the plan against it, runs that can be resumed."""
