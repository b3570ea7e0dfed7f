"""The engine `hf`: any causal language model in Hugging Face's layout, trained by transformers, trl and peft.

Without a model's folder it trains a small untrained Llama with a tokenizer of its own. Nothing is ever downloaded.
"""

from qianfan.engines.hf.engine import HfBackend

__all__ = ["HfBackend"]
