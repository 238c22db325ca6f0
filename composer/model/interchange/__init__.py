"""Adapters in the formats of other libraries: AdapterHub's (`adapters`) and PEFT's.

foreign       a folder from elsewhere: its config and its weights, hostile until checked
unpickling    a `.bin` of PyTorch, read in a process that can do nothing else
foreignheads  heads: what their layers are called there, and what is taken of them
configs       configs of `adapters`, old forms too, as shapes of composer's, and back
activations   its names of non-linearities
hubnames      names of its tensors, as composer's, and back
hubheads      its prediction heads, the same
hub           whole folders of adapters, heads and fusions in its format
peft          LoRA in PEFT's format, and the heads beside it

Nothing here needs those libraries; with them on the other side it is held in
`tests/model/interchange`.
"""
