"""The kinds of adapters beside a plain bottleneck, and how each begins and acts.

`kinds` makes any of them, `changes` hands the encoder what those of a composition change in it.
`lora`, `bitfit`, `prefix`, `prompt` and `full` are one kind a file, with `inner` what they share;
`adamix` and `sparsity` are about bottlenecks.
"""
