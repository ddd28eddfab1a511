"""Tables of agents' answers: the layout of the released result files, and every way such a table can be wrong."""

import pytest

from mmlab.data.sets.agent_answers import read_agent_answers
from mmlab.methods.orchestrator import Orchestrator

HEADER = "id,Image,Category,RAG,RAG_confidence,Qwen,Qwen_reason,Qwen_confidence,Qwen_time,GPT,GPT_reason,GPT_confidence"
ROWS = [
    '1,a.jpg,rust,rust,1.0,scab,"spots, and ""dark"" ones",0.95,4.8,scab,x,0.85',
    "2,b.jpg,healthy,healthy,0.6,healthy,x,1.0,4.1,healthy,x,0.95",
    "3,c.jpg,scab,black-rot,0.5,mildew,x,0.9,3.8,scab,x,0.85",
]


@pytest.fixture
def written(tmp_path):
    def write(*rows, header=HEADER):
        path = tmp_path / "predictions.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return write


def test_reads_every_agent_with_a_confidence(written):
    found = read_agent_answers(written(*ROWS))
    assert found.agents == ("RAG", "Qwen", "GPT")
    assert found.classes == ("black-rot", "healthy", "mildew", "rust", "scab")  # one that no item has is a class too
    assert found.items.tensors["label"].tolist() == [3, 1, 4]
    assert found.items.tensors["answers"].tolist() == [[3, 4, 4], [1, 1, 1], [0, 2, 4]]
    assert found.items.tensors["confidences"][2].tolist() == pytest.approx([0.5, 0.9, 0.85])


def test_the_method_is_solved_from_it(written):
    found = read_agent_answers(written(*ROWS), ["GPT", "Qwen"])
    method = Orchestrator(agents=2, classes=len(found.classes)).solve(found.items)
    assert method.predict(found.items.tensors).argmax(1).tolist() == found.items.tensors["answers"][:, 0].tolist()


@pytest.mark.parametrize(
    ("rows", "more", "told"),
    [
        ([], {}, "holds no answers"),
        (ROWS, {"header": HEADER.replace("_confidence", "_sure")}, "holds no answers"),
        ([ROWS[0].replace("0.95", "95")], {}, "row 1, column 'Qwen_confidence' is 95"),
        ([ROWS[0].replace("0.95", "nan")], {}, "a number from 0 to 1"),
        ([ROWS[1], ROWS[0].replace(",rust,1.0", ",,1.0")], {}, "row 2, column 'RAG' is empty"),
        (ROWS, {"header": HEADER.replace("Category", "Class")}, "no column 'Category'"),
    ],
)
def test_what_is_wrong_is_named(written, rows, more, told):
    with pytest.raises(ValueError, match=told):
        read_agent_answers(written(*rows, **more))


def test_an_agent_that_is_not_there_is_named(written):
    with pytest.raises(ValueError, match="no agent 'qwen': did you mean 'Qwen'"):
        read_agent_answers(written(*ROWS), ["qwen"])
    with pytest.raises(ValueError, match="no agent 'Image'"):
        read_agent_answers(written(*ROWS), ["Image"])
