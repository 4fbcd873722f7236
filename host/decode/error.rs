//! Why a model cannot be loaded or a token not be decoded.

use psionic_kernels::persistent::Exchange;

use crate::device::{DeviceError, Mailbox};
use crate::model::ModelError;

/// Why the persistent engine cannot run a model on a device.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the persistent engine needs {needed}, and {found}")]
pub struct Unsupported {
    /// What it needs.
    pub needed: &'static str,
    /// What there is.
    pub found: String,
}

/// Why decoding failed.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model's weights cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model and its cache do not fit.
    #[error(
        "the model needs {needed} bytes ({weights} of weights, {cache} of cache for {context} tokens, {rest} of the \
         rest) and the device has {free} left: shorten the context with `--context`, or free memory"
    )]
    DoesNotFit {
        /// Bytes of everything.
        needed: u64,
        /// Bytes of weights.
        weights: u64,
        /// Bytes of keys and values.
        cache: u64,
        /// Bytes of everything else.
        rest: u64,
        /// Tokens that the cache is for.
        context: usize,
        /// Bytes left on the device.
        free: u64,
    },
    /// The persistent engine was asked for and cannot run this model here.
    #[error("{0}: use `--engine graph`, or leave the choice to the program")]
    Unsupported(#[from] Unsupported),
    /// Blocks waited for each other in vain.
    #[error(
        "block {block} waited in vain for {exchange} in epoch {epoch}, and the launch was ended: this is a bug in the \
         kernel, or the GPU was stopped for longer than the watchdog waits; run again, and report it if it comes back"
    )]
    Stuck {
        /// The block that gave up.
        block: u32,
        /// What it waited for.
        exchange: &'static str,
        /// When, in layers since the model was loaded.
        epoch: u32,
    },
    /// The context that was asked for is longer than the model's.
    #[error(
        "a context of {asked} tokens was asked for, the model was trained for {limit}: ask for 1 to {limit}"
    )]
    ContextTooLong {
        /// Tokens asked for.
        asked: usize,
        /// The model's limit.
        limit: usize,
    },
    /// The tokens do not fit the context.
    #[error(
        "{asked} tokens do not fit after the {used} in a context of {context}: shorten the prompt or ask for a longer context"
    )]
    ContextFull {
        /// Tokens to add.
        asked: usize,
        /// Tokens there.
        used: usize,
        /// Tokens that fit.
        context: usize,
    },
    /// A token that the model does not have.
    #[error("token {token} is beyond the vocabulary of {vocab} tokens: use ids from 0 to {}", vocab - 1)]
    UnknownToken {
        /// The token.
        token: u32,
        /// Tokens that there are.
        vocab: usize,
    },
    /// There is nothing to go on from.
    #[error("there are no tokens yet: feed a prompt of at least one")]
    NoTokens,
}

impl DecodeError {
    /// What a launch of the persistent engine was stuck in, from the three words of its report; none if it was not.
    pub fn stuck(report: &Mailbox) -> Option<Self> {
        let block = report.read(0).checked_sub(1)?;
        let exchange = match report.read(2) {
            n if n == Exchange::Heads as u32 => "queries, key and value",
            n if n == Exchange::Attention as u32 => "the attention of its group",
            n if n == Exchange::Output as u32 => "the output projection",
            n if n == Exchange::Hidden as u32 => "the hidden elements of its group",
            n if n == Exchange::Down as u32 => "the down projection",
            n if n == Exchange::Residual as u32 => "the residual stream",
            _ => "the best logits",
        };
        // A layer has two tags of the residual stream's codes, one of everything else.
        let tags = if report.read(2) == Exchange::Residual as u32 { 2 } else { 1 };
        Some(Self::Stuck { block, exchange, epoch: report.read(1) / tags })
    }
}
