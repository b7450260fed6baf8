"""Exercises that check themselves: `judge` asks, ``checks_NN`` knows what is right in notebook NN."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "judge": ["Case", "check", "compare", "find", "registered"],
        "quizzes": ["questions", "quiz"],
    },
)
