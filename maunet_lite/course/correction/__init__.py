"""Correct label maps by hand, in JupyterLab: edits of a map, the session around them, and the tool."""
