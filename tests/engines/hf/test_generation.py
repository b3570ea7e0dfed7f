"""Answers of a published model: likeliest and sampled, whole and in pieces, several at once."""

from __future__ import annotations

from itertools import zip_longest

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from qianfan.engines.backend import EngineError
from qianfan.engines.hf.generation import HfGenerator
from qianfan.engines.hf.tokenizing import prompt_ids
from qianfan.engines.rows import Message
from qianfan.engines.spec import Sampling
from tests.engines.hf.making import PAIRS, Trained, answer, asked, turns

WILD = Sampling(temperature=3.0, max_tokens=20)


def test_the_likeliest_answer_is_that_of_transformers(trained: Trained) -> None:
    tokenizer = AutoTokenizer.from_pretrained(trained.model)
    model = AutoModelForCausalLM.from_pretrained(trained.model)
    for question in (PAIRS[0][0], PAIRS[25][0], "a prompt it has never seen"):
        ids = torch.tensor([prompt_ids(tokenizer, turns(question))])
        made = model.generate(ids, max_new_tokens=7, do_sample=False)[0, ids.shape[1] :]
        expected = tokenizer.decode(made, skip_special_tokens=True)
        assert answer(trained.generator, question, Sampling(max_tokens=7)) == expected


def test_equal_seeds_give_equal_answers(trained: Trained) -> None:
    def with_seed(seed: int) -> str:
        return answer(trained.generator, "anything", WILD.model_copy(update={"seed": seed}))

    assert with_seed(1) == with_seed(1)
    assert len({with_seed(seed) for seed in range(5)}) > 1


def test_a_narrow_top_p_takes_the_likeliest(trained: Trained) -> None:
    narrow = WILD.model_copy(update={"top_p": 1e-6})
    assert answer(trained.generator, PAIRS[3][0], narrow) == answer(trained.generator, PAIRS[3][0])


def test_the_last_piece_and_no_other_has_an_end(trained: Trained) -> None:
    pieces = list(trained.generator.stream(asked(PAIRS[0][0]), Sampling()))
    assert "".join(piece.text for piece in pieces) == PAIRS[0][1]
    assert [bool(piece.end) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert pieces[-1].end == "stop"


def test_it_is_cut_off_at_its_length(trained: Trained) -> None:
    pieces = list(trained.generator.stream(asked(PAIRS[0][0]), Sampling(max_tokens=3)))
    assert sum(piece.tokens for piece in pieces) == 3
    assert pieces[-1].end == "length"
    assert PAIRS[0][1].startswith("".join(piece.text for piece in pieces))


def test_stop_texts_end_it(trained: Trained) -> None:
    wanted = PAIRS[0][1]
    assert answer(trained.generator, PAIRS[0][0], Sampling(stop=("colour", ","))) == wanted.partition(",")[0]


def test_several_answers_at_once_do_not_disturb_each_other(trained: Trained) -> None:
    streams = [trained.generator.stream(asked(question), Sampling(max_tokens=30)) for question, _ in PAIRS[:4]]
    rounds = zip_longest(*streams)
    together = ["".join(piece.text for piece in pieces if piece) for pieces in zip(*rounds, strict=True)]
    assert together == [answer(trained.generator, question) for question, _ in PAIRS[:4]]


def test_it_counts_what_it_is_told(trained: Trained) -> None:
    short, long = asked("What?"), (*asked("What?"), Message(role="assistant", content="That."), *asked("And?"))
    assert 0 < trained.generator.count(short) < trained.generator.count(long)


def test_a_model_from_scratch_does_not_repeat_itself_for_ever(trained: Trained) -> None:
    """One that has the same token in mind, whatever it is asked."""
    model = AutoModelForCausalLM.from_pretrained(trained.model)
    tokenizer = AutoTokenizer.from_pretrained(trained.model)
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer.encode("a", add_special_tokens=False)[0]] *= 1000
    pieces = list(HfGenerator(model, tokenizer).stream(asked("aaa"), Sampling(max_tokens=200)))
    assert pieces[-1].end
    assert len(pieces) < 200


def test_a_prompt_that_leaves_no_room_is_refused(trained: Trained) -> None:
    with pytest.raises(EngineError, match="the model takes 8192"):
        next(trained.generator.stream(asked("色" * 9000), Sampling()))
