"""What an exercise is, and how a submission is judged. Nothing here knows a particular exercise.

exercise.py    the definition: checks, misconceptions, alternatives
observe.py     what a check does with a submission, and ready-made kinds of check
values.py      the plain values that come back
judge.py       compares them with what was expected, and finds the misconception behind a wrong answer
results.py     marks and messages, as text, HTML and JSON
sources.py     reads notebooks and Python files as source text
in_process.py  runs a trusted submission in this process
"""
