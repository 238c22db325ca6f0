"""The store: results by key, in a folder or at a URL, and what lies beside them.

`store` and `manifest` are the folder of one machine; `shared` and the five modules under it
(`remote`, `shared_folder`, `leases`, `mirror`, `moving`) let several hosts use one. `refs`,
`timings` and `traces` read and write what is kept beside the results; `faults` puts into words
what goes wrong with a disk.
"""
