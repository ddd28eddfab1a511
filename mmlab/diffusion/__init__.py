"""The mathematics of diffusions and flows: schedules, bridges, steps, time grids, couplings, closed forms.

Time. Bridges and flows run from the source at t = 0 to the target at t = 1. Denoising bridges (DDBM) and score
diffusion keep their papers' clock, in which the target lies at t = 0 and sampling runs backward. All functions that
carry a state take the time that it is at, then the time that it goes to, so that they serve both directions.

Times in [:data:`MARGIN <mmlab.diffusion.reference.MARGIN>`, 1 - MARGIN] are what networks are trained on and asked for:
at the ends of a bridge the drift, the score or the noise is singular.
"""
