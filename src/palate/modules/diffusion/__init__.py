"""Latent diffusion: an autoencoder of pictures, a denoiser of its latents, schedules and samplers."""
