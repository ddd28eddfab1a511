"""The mathematics of diffusions and flows: schedules, bridges, steps, couplings, closed forms."""
