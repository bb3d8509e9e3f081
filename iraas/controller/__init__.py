"""The controller: scales the worker fleet, and concludes dead letters."""
