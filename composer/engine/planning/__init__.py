"""What a run would do, stage by stage, why, and what it would take; found without torch.

Begin with `plan`. `wanted`, `ready`, `backbones` and `machine` find what stages depend on;
`record` and `reasons` compare it with what a stage was; `causes` follows reasons to their roots;
`cost` and `expected` tell time and memory; `choice` is `--only` and `--from`; `lock` writes down
what was made.
"""
