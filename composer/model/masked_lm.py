"""What scores hidden pieces: an output layer of one's own, or a masked-LM head that is shared.

    own      A^-1(h W + b) E^T + c                       learnt beside an adapter, and not kept
    shared   A^-1(norm(f(h W + b))) E^T + c              BERT's form; trained first, then frozen

E is the backbone's frozen token embeddings (or, in a head that a backbone brings, perhaps a matrix
of its own), c a bias for each piece. A is what an invertible adapter did to the embeddings, which
is undone just before the scores are taken (MAD-X, Pfeiffer et al., 2020, section 3.3); others
leave it out. Only pieces in use are scored.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from composer.data.bio import IGNORED
from composer.errors import AdapterError
from composer.model.arithmetic import Coupling, uncouple
from composer.model.backbone import Backbone
from composer.model.parts import Part

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_python": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
    "mish": F.mish,
}


class Scored:
    """The pieces that are scored, and their embeddings.

    Attributes:
        tokens: Their ids, ascending; on the backbone's device.
        embeddings: A row a piece, (pieces, size).
    """

    def __init__(
        self, tokens: NDArray[np.int64], backbone: Backbone, output: Tensor | None = None
    ) -> None:
        """Take the rows of the backbone's embeddings, or those of another matrix."""
        table = backbone.word_embeddings.weight.detach()
        self.tokens = torch.from_numpy(tokens).to(table.device)
        whole = len(tokens) == len(table)
        self.embeddings = output if output is not None else table if whole else table[self.tokens]
        self._row = torch.full((len(table),), IGNORED, device=table.device)
        self._row[self.tokens] = torch.arange(len(tokens), device=table.device)

    def covers(self) -> NDArray[np.bool_]:
        """Say of each id of the backbone whether it is scored."""
        return (self._row != IGNORED).cpu().numpy()

    def loss(
        self, inputs: Tensor, token_bias: Tensor, labels: Tensor, coupling: Coupling | None
    ) -> Tensor:
        """Give the mean loss of hidden pieces: (hidden, size), (pieces,), (hidden,)."""
        if coupling is not None:
            inputs = uncouple(inputs, coupling)
        scores = F.linear(inputs, self.embeddings, token_bias)
        return F.cross_entropy(scores, self._row[labels])


class OutputLayer:
    """An output layer that one adapter learns beside itself.

    Args:
        vocabulary: Token ids that the text uses, ascending.
        backbone: Whose embeddings are used.
    """

    def __init__(self, vocabulary: NDArray[np.int64], backbone: Backbone) -> None:
        self.scored = Scored(vocabulary, backbone)
        scale = 1.0 / math.sqrt(backbone.size)
        self.part = Part(
            {
                "weight": scale * torch.eye(backbone.size),
                "bias": torch.zeros(backbone.size),
                "token_bias": torch.zeros(len(vocabulary)),
            }
        ).to(self.scored.embeddings.device)

    def loss(self, hidden: Tensor, labels: Tensor, *, coupling: Coupling | None = None) -> Tensor:
        """Give the mean loss over the hidden tokens: (batch, tokens, size), (batch, tokens)."""
        chosen = labels != IGNORED
        inputs = F.linear(hidden[chosen], self.part["weight"], self.part["bias"])
        return self.scored.loss(inputs, self.part["token_bias"], labels[chosen], coupling)


class MaskedHead:
    """A masked-LM head in BERT's form.

    Args:
        tensors: "dense" (inner, size), "dense_bias", "norm_weight", "norm_bias" (inner,),
            "token_bias" (pieces,), and perhaps "output" (pieces, inner) for the embeddings.
        tokens: Ids of the pieces, ascending.
        activation: One of `ACTIVATIONS`.
        eps: Of the norm.
        backbone: Whose embeddings are used.

    Raises:
        AdapterError: The non-linearity is none that is known here.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        *,
        tokens: NDArray[np.int64],
        activation: str,
        eps: float,
        backbone: Backbone,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise AdapterError(
                f"masked-LM head: the non-linearity {activation!r} is not one of "
                f"{', '.join(sorted(ACTIVATIONS))}; use languages: {{head: own}}"
            )
        device = backbone.word_embeddings.weight.device
        self.activation, self.eps = activation, eps
        self.part = Part(tensors).to(device)
        output = self.part["output"].detach() if "output" in self.part else None
        self.scored = Scored(tokens, backbone, output)

    def loss(self, hidden: Tensor, labels: Tensor, *, coupling: Coupling | None = None) -> Tensor:
        """Give the mean loss over the hidden tokens: (batch, tokens, size), (batch, tokens)."""
        chosen = labels != IGNORED
        if not bool(chosen.any()):  # of a text whose pieces it hardly scores, a batch may have none
            return 0.0 * hidden.sum()
        inputs = F.linear(hidden[chosen], self.part["dense"], self.part["dense_bias"])
        inputs = ACTIVATIONS[self.activation](inputs)
        inner = inputs.shape[-1:]
        inputs = F.layer_norm(
            inputs, inner, self.part["norm_weight"], self.part["norm_bias"], self.eps
        )
        return self.scored.loss(inputs, self.part["token_bias"], labels[chosen], coupling)


def new_masked_head(counts: NDArray[np.int64], backbone: Backbone) -> MaskedHead:
    """Make an untrained head: the identity, and biases that say how often each piece occurs.

    Begun so, it knows as much as a unigram model, and what it learns is what context adds.

    Args:
        counts: How often each id occurs in its text.
        backbone: Whose hidden states it reads.
    """
    tokens = np.flatnonzero(counts)
    shares = (counts[tokens] + 1) / (counts[tokens] + 1).sum()
    inner = backbone.word_embeddings.weight.shape[1]
    tensors = {
        "dense": torch.eye(inner, backbone.size),
        "dense_bias": torch.zeros(inner),
        "norm_weight": torch.ones(inner),
        "norm_bias": torch.zeros(inner),
        "token_bias": torch.from_numpy(np.log(shares)).float(),
    }
    return MaskedHead(tensors, tokens=tokens, activation="gelu", eps=1e-12, backbone=backbone)
