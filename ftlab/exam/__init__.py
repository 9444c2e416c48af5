"""Exam: questions, generated answers, grading, statistics."""
