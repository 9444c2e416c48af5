"""Training: the base model, the optimizer, and the LightningModule that joins them with a method."""
