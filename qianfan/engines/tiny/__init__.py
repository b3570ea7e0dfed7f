"""A small language model in numpy: trained from scratch within seconds, with a backward pass written by hand.

It is a decoder transformer of some hundred thousand parameters. It learns the rows it is given by heart and understands
nothing, but everything about it is real: losses, checkpoints, adapters, answers.

The model: `parameters`, `layers`, `model`. What it reads: `tokenizer`, `examples`, `batches`. How it learns: `loss`,
`optimizer`, `lora`, `learner`. A training around that: `recipe`, `planning`, `training`, `job`. What comes of it:
`checkpoints`, `generation`. What the outside calls: `engine`.
"""

from qianfan.engines.tiny.engine import TinyBackend

__all__ = ["TinyBackend"]
