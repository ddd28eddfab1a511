"""Oracles of nlg2choice: the law over names against plain scoring, no look at the picture in the second step."""

import pytest
import torch

from mmlab.data.chat import IMAGE
from mmlab.methods.nlg2choice import Nlg2Choice
from mmlab.nn.small_reader import SmallReader


def test_probabilities_are_products_of_renormalised_words_read_one_prompt_at_a_time():
    method, batch = Nlg2Choice.demo()
    answers = torch.tensor([[9, 10, 0, 0], [11, 0, 0, 0], [0, 0, 0, 0], [9, 9, 9, 9], [12, 0, 0, 0], [13, 14, 15, 0]])
    found = method.predict({**batch, "answers": answers})
    names = [[3], [4, 5], [4, 6], [4, 6, 7]]
    for row, p in zip(answers.tolist(), found, strict=True):
        told = [word for word in row if word] + [8, 2]
        for name, q in zip(names, p.tolist(), strict=True):
            product, ended = 1.0, [*name, 0]
            for at, word in enumerate(ended):
                ids = torch.tensor([told + ended[:at]])
                asked = {"input_ids": ids, "length": torch.tensor([ids.shape[1]])}
                with torch.no_grad():
                    law = method.model.logits(asked)[0, -1].softmax(-1)
                rivals = {[*other, 0][at] for other in names if [*other, 0][:at] == ended[:at]}
                product *= float(law[word] / law[list(rivals)].sum())
            assert q == pytest.approx(product, abs=1e-6)
    assert torch.allclose(found.sum(1), torch.ones(6), atol=1e-6)


def test_stopping_early_changes_nothing():
    method, batch = Nlg2Choice.demo(seed=3)
    slow = Nlg2Choice([[3], [4, 5], [4, 6], [4, 6, 7]], [8, 2], method.model, words=4, early=False)
    assert torch.allclose(method.predict(batch), slow.predict(batch), atol=1e-6)


def test_the_choice_sees_the_answer_and_not_the_picture():
    method, batch = Nlg2Choice.demo()
    answers = method.answer(batch)
    given = {**batch, "answers": answers}
    assert torch.equal(method.predict(batch), method.predict(given))
    other = {**given, "images": -batch["images"]}
    assert torch.equal(method.predict(given), method.predict(other))
    changed = torch.where(answers == answers[0, 0], 9, answers) if answers.any() else answers + 9
    assert not torch.equal(method.predict(given), method.predict({**given, "answers": changed}))
    assert (method.told(answers)["input_ids"] != IMAGE).all()


def test_direct_decoding_is_the_same_law_with_the_picture():
    method, batch = Nlg2Choice.demo()
    direct = method.log_probabilities(batch)
    assert torch.allclose(direct.exp().sum(1), torch.ones(6), atol=1e-6)
    assert not torch.equal(direct, method.log_probabilities({**batch, "images": -batch["images"]}))


def test_answers_end_where_they_end():
    class Says(SmallReader):
        def generate(self, batch, rng=None, **how):
            return torch.tensor([[5, 0, 7, 7], [5, 6, 7, 8]])

    method = Nlg2Choice([[3], [4]], [8, 2], Says(picture=[3, 8, 8], width=8), words=4)
    prompts = {"input_ids": torch.tensor([[1], [1]]), "length": torch.tensor([1, 1]), "images": torch.zeros(2, 0)}
    said = method.answer(prompts)
    assert said.tolist() == [[5, 0, 0, 0], [5, 6, 7, 8]]
    told = method.told(said)
    assert told["input_ids"].tolist() == [[5, 8, 2, 0, 0, 0], [5, 6, 7, 8, 8, 2]]
    assert told["length"].tolist() == [3, 6]


@pytest.mark.parametrize("given", [{"words": 0}, {"question": []}])
def test_impossible_arguments_are_refused(given):
    with pytest.raises(ValueError, match="must be at least 1"):
        Nlg2Choice(**{"names": [[3], [4]], "question": [2], **given})
