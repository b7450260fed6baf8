# %%
STEPS = 2
