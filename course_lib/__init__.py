"""The Transformer Workshop: the library that the chapters build, from one softmax to a model that translates.

Importing the package loads nothing: take what you need from its modules, `from course_lib.attention import softmax`.
"""
