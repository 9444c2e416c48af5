"""Callbacks: what happens around training. They sit the exam, keep the best, stop early, measure and tell."""
