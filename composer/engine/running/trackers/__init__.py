"""Where a run's numbers are logged besides its events; a module for each library.

`tracking` hears the events of a run and tells the trackers; `tensorboard`, `trackio` and `wandb`
are each the one door to their library.
"""
