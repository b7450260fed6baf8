# %% [markdown]
# # A notebook that runs
#
# Its formula is $\alpha = 1/\sqrt{S}$.

# %% tags=["parameters"]
PROFILE = "quick"
STEPS = 2
RATE = 0.5

# %%
from maunet_lite.course import record

with open("note.txt", "w") as file:
    file.write(PROFILE)
record("steps", STEPS)
record("rate", RATE)
