//! A Qwen3 model: its configuration, its weights in a file, its tokenizer, and synthetic models of real sizes.

mod config;
mod error;
mod report;
mod stream;
mod synth;
mod tokenizer;
mod weights;

pub use config::Config;
pub use error::{ModelError, SynthError, TokenizerError};
pub use report::{FormatShare, ModelReport, TensorReport, describe};
pub use stream::TextStream;
pub use synth::{HEAD_DIM, SIZES, Size, SynthSpec, SynthSummary, write_synthetic};
pub use tokenizer::Tokenizer;
pub use weights::{Layer, Matrix, Model};
