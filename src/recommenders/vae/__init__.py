"""The variational autoencoder: settings, network and training; models/vae.py puts it behind the common interface."""
