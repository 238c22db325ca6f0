"""Where BERT-like encoders keep their weights: composer's names and the library's own.

`{}` is the layer's number. A linear layer has a weight and a bias, and so has a norm.

    bert         BERT, MiniLM, E5
    roberta      RoBERTa, XLM-R
    distilbert   DistilBERT: no token types
"""

from collections.abc import Mapping

_BERT = {
    "embeddings.tokens": "embeddings.word_embeddings.weight",
    "embeddings.positions": "embeddings.position_embeddings.weight",
    "embeddings.types": "embeddings.token_type_embeddings.weight",
    "embeddings.norm": "embeddings.LayerNorm",
    "{}.query": "encoder.layer.{}.attention.self.query",
    "{}.key": "encoder.layer.{}.attention.self.key",
    "{}.value": "encoder.layer.{}.attention.self.value",
    "{}.mixed": "encoder.layer.{}.attention.output.dense",
    "{}.attention.norm": "encoder.layer.{}.attention.output.LayerNorm",
    "{}.wide": "encoder.layer.{}.intermediate.dense",
    "{}.narrow": "encoder.layer.{}.output.dense",
    "{}.output.norm": "encoder.layer.{}.output.LayerNorm",
}
_DISTILBERT = {
    "embeddings.tokens": "embeddings.word_embeddings.weight",
    "embeddings.positions": "embeddings.position_embeddings.weight",
    "embeddings.norm": "embeddings.LayerNorm",
    "{}.query": "transformer.layer.{}.attention.q_lin",
    "{}.key": "transformer.layer.{}.attention.k_lin",
    "{}.value": "transformer.layer.{}.attention.v_lin",
    "{}.mixed": "transformer.layer.{}.attention.out_lin",
    "{}.attention.norm": "transformer.layer.{}.sa_layer_norm",
    "{}.wide": "transformer.layer.{}.ffn.lin1",
    "{}.narrow": "transformer.layer.{}.ffn.lin2",
    "{}.output.norm": "transformer.layer.{}.output_layer_norm",
}
LAYOUTS: Mapping[str, Mapping[str, str]] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "distilbert": _DISTILBERT,
}
