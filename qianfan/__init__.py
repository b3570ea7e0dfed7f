"""Fine-tune large language models on Baidu's Qianfan platform."""

__version__ = "1.0.0a1"
