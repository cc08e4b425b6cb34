"""Submissions for the grader's tests: right ones, and those that try to harm it or to be given marks."""
