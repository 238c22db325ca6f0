"""The Python interface: what the commands do, as functions whose results show themselves.

`import composer` gives its names (`composer.load_recipe`, `composer.Bundle`, ...) and imports a
module of this folder when a name of it is used first. Nothing here prints or ends the program:
faults are `composer.errors`, progress goes to a callback or to `logging`.

Read `recipes`, `plans` and `runs`; then `parts` (train, fuse) and `stored` (evaluate, export); then
`bundles`, with `runtimes` under it, and `estimators` on top.
"""
