"""What may be wrong with labelled data, told before anything is trained.

`inspection` asks all the others: `characters`, `labels`, `lengths`, `repeats` and `scripts` look at
one thing each, and none of them changes anything.
"""
