"""What a market's data say about its parameters: volatility, fill intensity, costs, and the quotes that follow."""
