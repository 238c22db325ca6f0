"""Training and scoring: one loop, one function a kind of stage."""
