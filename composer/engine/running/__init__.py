"""Plans carried out: which stage next, where, and what is told meanwhile.

Begin with `run`. `queue` says what may be begun; `making` makes one stage, in whichever process
an executor of `executors/` chose; `events` and `event_log` tell of it; `failures`, `signals` and
`resources` are what can come between.
"""
