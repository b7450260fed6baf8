# %% tags=["parameters"]
PROFILE = "quick"
STEPS = 2

# %%
print("before the mistake")

# %%
cells = {"a": 1}
cells["b"]

# %%
print("never reached")
