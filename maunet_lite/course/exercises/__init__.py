"""Exercises that check themselves: `judge` asks, ``checks_NN.yaml`` knows what is right in notebook NN."""

from maunet_lite.course.exercises.cases import Case, compare
from maunet_lite.course.exercises.judge import check, find, registered
from maunet_lite.course.exercises.quizzes import questions, quiz

__all__ = ["Case", "check", "compare", "find", "questions", "quiz", "registered"]
