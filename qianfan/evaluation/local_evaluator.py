"""Evaluators that are ready to use: is the answer that of the dataset, how near is it, what does a model say to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from qianfan.errors import InvalidArgumentError
from qianfan.evaluation.evaluator import DEFAULT_MAX_SCORE, DEFAULT_METRIC, DEFAULT_STEPS, LocalEvaluator
from qianfan.model import Service, ServiceType
from qianfan.resources import ChatCompletion, Completion
from qianfan.utils.scores import score

__all__ = ["ExactMatchEvaluator", "LocalJudgeEvaluator", "SimilarityEvaluator"]


class SimilarityEvaluator(LocalEvaluator):
    """BLEU-4, ROUGE-1, ROUGE-2 and ROUGE-L, in percent. BLEU of all rows counts their n-grams together."""

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        return score([(_wanted(reference), output)])

    def summarize(self, dataset: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        return score([(row["reference"], row["output"]) for row in dataset]) if dataset else None


class ExactMatchEvaluator(LocalEvaluator):
    """Whether the answer is the one of the dataset, but for space around it; of all rows, the share from 0 to 1.

    ignore_case: upper and lower case are the same.
    """

    ignore_case: bool = False

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        wanted, given = _wanted(reference).strip(), output.strip()
        if self.ignore_case:
            wanted, given = wanted.casefold(), given.casefold()
        return {"exact_match": wanted == given}


_JUDGE_TEMPLATE = """你是一名公正的裁判，请给一个回答打分。

评价指标：{criteria}

评价步骤：
{steps}

问题：
{prompt}

参考回答（可能没有）：
{reference}

待评的回答：
{response}

得分是 0 到 {max_score} 的整数，分数越高越好。只输出两行：
评分: 得分
原因: 评分理由
"""
_SCORE = re.compile(r"(?:评分|得分|score)[^0-9\-]{0,8}(-?\d+(?:\.\d+)?)", re.IGNORECASE)
_REASON = re.compile(r"(?:原因|理由|reason)\W{0,4}(.+)", re.IGNORECASE | re.DOTALL)


class LocalJudgeEvaluator(LocalEvaluator):
    """Has a model of your choice judge the answers, by questions of ours. Every row costs one question.

    model: the name of a preset model, or something to ask: a ChatCompletion, a Completion or a Service. Only a name can
        be kept with a trainer.
    metric_name: what the score is called in the result; its reason is `<metric_name>_reason`.
    criteria, prompt_steps: what it judges by, and how. prompt_max_score: the best score; 0 is the worst.
    evaluation_prompt: the question, a text with `{criteria}`, `{steps}`, `{prompt}`, `{reference}`, `{response}` and
        `{max_score}` in it, of which it need not use all. model_kwargs: go into every question, such as `temperature`.
    """

    model: Any = "ERNIE-4.0-8K"
    metric_name: str = "judge_score"
    model_kwargs: Mapping[str, Any] = MappingProxyType({})
    evaluation_prompt: str = _JUDGE_TEMPLATE
    criteria: str = DEFAULT_METRIC
    prompt_steps: str = DEFAULT_STEPS
    prompt_max_score: int = DEFAULT_MAX_SCORE

    async def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        facts = {
            "criteria": self.criteria,
            "steps": self.prompt_steps.strip(),
            "prompt": _shown(input),
            "reference": reference,
            "response": output,
            "max_score": str(self.prompt_max_score),
        }
        # In one pass, so that braces in an answer are left as they are.
        text = re.sub(r"\{(\w+)\}", lambda found: facts.get(found[1], found[0]), self.evaluation_prompt)
        said = str((await self._ask(text)).text)
        score = _SCORE.search(said)
        if score is None:
            raise InvalidArgumentError(f"the judging model gave no score: {said[:200]!r}")
        value = min(max(float(score[1]), 0.0), float(self.prompt_max_score))
        reason = _REASON.search(said)
        told = reason[1].strip() if reason is not None else said.strip()
        return {self.metric_name: value, f"{self.metric_name}_reason": told}

    async def _ask(self, text: str) -> Any:
        model = self.model
        if isinstance(model, str):
            model = ChatCompletion(model=model)
        messages = {"messages": [{"role": "user", "content": text}]}
        if isinstance(model, Service):
            is_chat = model.service_type is ServiceType.Chat
            return await model.aexec(messages if is_chat else {"prompt": text}, **self.model_kwargs)
        if isinstance(model, Completion):
            return await model.ado(prompt=text, **self.model_kwargs)
        return await model.ado(**messages, **self.model_kwargs)


def _shown(input: Any) -> str:
    """A question as a judge reads it, with the turns before it."""
    if isinstance(input, str):
        return input
    return "\n".join(f"{one['role']}: {one['content']}" for one in input)


def _wanted(reference: str) -> str:
    if not reference:
        raise InvalidArgumentError("the row has no answer to compare with")
    return reference
