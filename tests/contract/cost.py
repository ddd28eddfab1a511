"""What the contract tests cost per method, in a sentence."""

ALARM = 1.5
"""Seconds of a method's checks from which it is named: at seventy methods the whole contract would take too long."""


def summary(spent: dict[str, float]) -> str:
    """One sentence about the seconds that each method's checks took.

    Args:
        spent: Seconds by stem.
    """
    most = max(spent, key=spent.__getitem__)
    over = [f"{stem} ({seconds:.1f} s)" for stem, seconds in sorted(spent.items()) if seconds > ALARM]
    text = (
        f"Contract: {sum(spent.values()) / len(spent):.2f} s of the processor per method, "
        f"at most {spent[most]:.2f} s ({most})"
    )
    return f"{text}. Above {ALARM} s: {', '.join(over)}." if over else f"{text}."
