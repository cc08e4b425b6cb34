# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title"
# # 01 · Sequence models

# %% [markdown] id="question"
# ## A recurrence, by hand
# ## One step of an LSTM, by hand
# ## A convolution, by hand
# ## What a layer costs

# %% id="check-import"
from course_lib.workshop import check, quiz

# %% exercise="rnn_forward"

# %% exercise="lstm_step"

# %% exercise="receptive_field"

# %% exercise="attention_flops"

# %% exercise="spot_the_bug_01"

# %% quiz="01"
