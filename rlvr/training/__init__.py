"""Training: the trainer on top of TRL and the parts that it is made of."""
