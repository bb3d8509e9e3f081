"""The loops of the product, over ports alone: submission, worker, controller, status."""
