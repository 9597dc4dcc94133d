"""Words that texts are made of."""

WORDS = (
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "iris", "jade", "koala",
    "lemon", "maple",
)  # fmt: skip
