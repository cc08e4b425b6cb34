# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] id="title"
# # 11 · Looking inside
#
# ## 3. By hand
#
# ## 7. What the documents say, and what is true
