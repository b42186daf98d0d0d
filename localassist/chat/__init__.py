"""Messages to prompt tokens and model text back to calls; knows neither engines nor runs."""
