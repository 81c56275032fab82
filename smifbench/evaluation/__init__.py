"""Numbers from estimates: scores, tables of results, statistics, cost."""
