//! A Qwen3 model: its configuration, its weights in a file, its tokenizer, and synthetic models of real sizes.
