# %% tags=["parameters"]
PROFILE = "quick"
STEPS = 2

# %%
print("before", "the wait")

# %%
import time

time.sleep(600)
