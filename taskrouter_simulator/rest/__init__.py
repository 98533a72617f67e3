"""Twilio's REST surface: paths, forms, envelopes and error bodies; no rules."""
