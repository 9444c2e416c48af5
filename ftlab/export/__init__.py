"""Export: a run as a merged model, or as something to talk to."""
