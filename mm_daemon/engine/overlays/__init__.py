"""What is laid over a model's quotes: shifts of the fair price, pulls, widening and stops (MODELS 7)."""
