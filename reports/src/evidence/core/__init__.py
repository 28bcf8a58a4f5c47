"""What every section uses: the pack, a run and its plan, child processes, sampling, statistics, the machine."""
