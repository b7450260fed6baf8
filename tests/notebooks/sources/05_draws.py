# %% [markdown]
# # Draw a line
#
# ![a drawing](picture.png) and $d = \sqrt{S}$.

# %% tags=["parameters"]
PROFILE = "quick"
STEPS = 2

# %%
import sys

import matplotlib.pyplot as plt

from maunet_lite.course import show

fig, ax = plt.subplots(figsize=(3, 2))
ax.plot([0, STEPS])
print("progress 10%|█    \r", file=sys.stderr)
show(fig, alt="A line that rises from zero.")
