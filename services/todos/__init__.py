"""To-dos: a customer's own, those that the merchant assigned, and those that follow from a bill."""
