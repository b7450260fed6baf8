"""The course without anybody watching: each notebook in a process of its own, reports, sweeps."""
