"""One rule for words in every script, wherever texts are compared."""

import unicodedata

import pytest

from mmlab.data.words import normal, spaced, vocabulary, words
from mmlab.metrics.answers import normalised_answer, says_yes, vqa_accuracy
from mmlab.metrics.text import bleu, chrf, cider, distinct_n, exact_match, rouge_l

SCRIPTS = {
    "Russian": ("Кошка сидит на коврике", ["кошка", "сидит", "на", "коврике"]),
    "Arabic": ("قطة تجلس على الحصيرة", ["قطة", "تجلس", "على", "الحصيرة"]),
    "Hindi": ("पूर्व प्रधानमन्त्री की हत्या", ["पूर्व", "प्रधानमन्त्री", "की", "हत्या"]),
    "Chinese": ("一只猫,坐在", ["一", "只", "猫", "坐", "在"]),
    "Japanese": ("猫がいる。", ["猫", "が", "い", "る"]),
    "Thai": ("ที่นี่", ["ที่", "นี่"]),
    "Korean": ("고양이가 앉다", ["고양이가", "앉다"]),
    "Greek": ("Η ΓΑΤΑ, κάθεται", ["η", "γατα", "κάθεται"]),
    "German": ("Straße STRASSE", ["strasse", "strasse"]),
    "emoji": ("so \N{FIRE}\N{FIRE}!", ["so", "\N{FIRE}", "\N{FIRE}"]),
    "apostrophes": ("Don’t don't rock'n'roll", ["don't", "don't", "rock'n'roll"]),
    "signs": ("5 € ≠ 5 → ∞", ["5", "€", "≠", "5", "→", "∞"]),
    "Amharic": ("ድመቱ፡ተኝቷል።", ["ድመቱ", "ተኝቷል"]),
    "families and flags": (
        "\U0001f468\u200d\U0001f469 \U0001f1e9\U0001f1ea",
        list("\U0001f468\U0001f469\U0001f1e9\U0001f1ea"),
    ),
    "full width": ("ＡＢＣ １２", ["abc", "12"]),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_words_of_a_script(name: str) -> None:
    text, expected = SCRIPTS[name]
    assert words(text) == expected
    for form in ("NFC", "NFD", "NFKC"):
        assert words(unicodedata.normalize(form, text)) == expected, form
    assert words("\ufeff" + text + "\u200b") == expected, "what cannot be seen is no word"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_text_scores_best_against_itself(name: str) -> None:
    text, expected = SCRIPTS[name]
    again = unicodedata.normalize("NFD", text).upper() if name not in ("German", "Greek") else text
    assert rouge_l([again], [[text]]).item() == pytest.approx(100)
    assert exact_match([again], [[text]]).item() == 1
    assert cider([text, "other"], [[text], ["word"]])[0].item() > 2
    assert vqa_accuracy(again, [text] * 10) == 1
    assert distinct_n([text], 1) == len(set(expected)) / len(expected)


def test_bleu_of_a_script_without_spaces() -> None:
    assert bleu(["一只猫坐在垫子上"], [["一只猫坐在垫子上"]]) == pytest.approx(100)
    assert 0 < bleu(["一只猫坐在垫子上"], [["一只狗坐在垫子上"]]) < 100
    assert chrf(["一只猫"], [["一只猫"]]) == pytest.approx(100)
    assert spaced("a 猫 b") == "a 猫 b"
    assert spaced("plain   text") == "plain   text"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\N{FACE WITH TEARS OF JOY}", "\N{FIRE}"),
        ("", "!!!"),
        ("5 €", "5 ¥"),
        ("x ≠ y", "x y"),
        ("→", "←"),
        ("\U0001f3f4\U000e0065\U000e006e\U000e007f", "\U0001f3f4\U000e0073\U000e0063\U000e007f"),
        ("?", "!!!"),
        ("schön", "sch n"),
        ("猫", "犬"),
        ("की", "का"),
        ("и", "й"),
        ("the", ""),
    ],
)
def test_what_differs_does_not_match(one: str, other: str) -> None:
    assert exact_match([one], [[other]]).item() == 0
    assert rouge_l([one], [[other]]).item() < 99
    assert vqa_accuracy(one, [other] * 10) == 0


def test_skin_tone_and_variants_are_no_other_word() -> None:
    assert words("\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}") == words("\N{THUMBS UP SIGN}")
    assert words("\N{HEAVY BLACK HEART}\ufe0f") == words("\N{HEAVY BLACK HEART}")


def test_rouge_is_that_of_the_library_on_english() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer(["rougeL"])
    for one, other in (("Don't stop_me now!", "do not stop me, now"), ("It's 3.5 m", "its 3 5 m"), ("", "a")):
        assert rouge_l([one], [[other]]).item() == pytest.approx(100 * theirs.score(other, one)["rougeL"].fmeasure)


def test_answers_and_vocabulary_follow_the_rule() -> None:
    assert normalised_answer("ＴＷＯ") == "2"
    assert normalised_answer("cafe\u0301") == normalised_answer("café")
    assert normalised_answer("!!!") == "!!!"
    assert not says_yes("ＮＯ, nothing")
    assert vocabulary(["Cafe\u0301", "café"]) == ("<padding>", "<unknown>", "café")
    assert normal("I’m") == "i'm"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("½", "1/2"),
        ("\u22125", "-5"),
        ("是。", "是"),
        ("«oui»", "oui"),
        ("نعم؟", "نعم"),
        ("ＹＥＳ！", "yes"),
        ("Yes.", "yes"),
    ],
)
def test_what_keyboards_write_otherwise_is_the_same(one: str, other: str) -> None:
    assert exact_match([one], [[other]]).item() == 1
    assert vqa_accuracy(one, [other] * 10) == 1
