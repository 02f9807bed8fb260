"""Models behind one protocol: OpenAI-compatible servers, local transformers, a scripted fake."""
