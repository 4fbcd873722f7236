//! The interface of an engine, which runs a model's tokens. There are two engines.

use std::fmt;

use serde::Serialize;

use super::sequence::Sequence;
use super::timeline::Timeline;
use super::{DecodeError, Unsupported};
use crate::device::{Backend, Device};

/// Which engine to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The persistent one on a GPU that can run it, for a model that it can run; otherwise the graph.
    #[default]
    Auto,
    /// The graph.
    Graph,
    /// The persistent one, or an error that says why not.
    Persistent,
}

/// What came of a choice: the persistent engine by a plan, or the graph.
pub(super) enum Chosen<P> {
    Persistent(P),
    /// With the reason where the program chose it because the other engine cannot run the model.
    Graph(Option<Unsupported>),
}

impl EngineChoice {
    /// Decides, with the persistent engine's plan for a model, if it can run it. The choice is never changed without a
    /// word: an engine that was asked for runs, or its refusal is the error.
    pub(super) fn decide<P>(
        self,
        backend: Backend,
        plan: impl FnOnce() -> Result<P, Unsupported>,
    ) -> Result<Chosen<P>, Unsupported> {
        match self {
            Self::Graph => Ok(Chosen::Graph(None)),
            Self::Persistent => plan().map(Chosen::Persistent),
            // The simulator runs a graph sooner.
            Self::Auto if backend == Backend::Sim => Ok(Chosen::Graph(None)),
            Self::Auto => Ok(plan().map_or_else(|reason| Chosen::Graph(Some(reason)), Chosen::Persistent)),
        }
    }
}

/// Which engine is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// A graph of launches: any model on any device.
    Graph,
    /// One launch for many tokens: GPUs from `sm_90` on, and the simulator.
    Persistent,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Graph => "graph",
            Self::Persistent => "persistent",
        })
    }
}

/// Bytes that an engine takes on a device besides the sequence.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Of weights.
    pub weights: u64,
    /// Of the rest.
    pub rest: u64,
}

/// Runs tokens of a sequence.
pub trait Engine {
    /// Runs the tokens at positions `from` to `to - 1`, which are known; the logits are then those after the last.
    fn look(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        to: usize,
    ) -> Result<(), DecodeError>;

    /// Chooses `count` tokens from position `from` on, each the best after the one before, and runs them. The token
    /// before `from` was run last.
    fn extend(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        count: usize,
    ) -> Result<Vec<u32>, DecodeError>;

    /// As [`extend`](Self::extend), with the times of the last token; none where an engine does not keep them.
    fn profile(
        &mut self,
        device: &Device,
        sequence: &mut Sequence,
        from: usize,
        count: usize,
    ) -> Result<Option<Timeline>, DecodeError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(choice: EngineChoice, backend: Backend, possible: bool) -> Result<Chosen<()>, Unsupported> {
        let lacking = Unsupported { needed: "a wheel", found: "there is none".to_owned() };
        choice.decide(backend, || if possible { Ok(()) } else { Err(lacking) })
    }

    #[test]
    fn an_engine_that_was_asked_for_runs_or_is_refused() {
        for backend in [Backend::Cuda, Backend::Sim] {
            assert!(matches!(decide(EngineChoice::Persistent, backend, true), Ok(Chosen::Persistent(()))));
            assert!(decide(EngineChoice::Persistent, backend, false).is_err());
            for possible in [true, false] {
                assert!(matches!(decide(EngineChoice::Graph, backend, possible), Ok(Chosen::Graph(None))));
            }
        }
    }

    #[test]
    fn the_program_says_what_the_faster_engine_lacks_when_it_takes_the_other() {
        assert!(matches!(decide(EngineChoice::Auto, Backend::Cuda, true), Ok(Chosen::Persistent(()))));
        let Ok(Chosen::Graph(Some(reason))) = decide(EngineChoice::Auto, Backend::Cuda, false) else {
            panic!("the graph, and a reason");
        };
        assert_eq!(reason.to_string(), "the persistent engine needs a wheel, and there is none");
        // On the simulator the graph is the faster one.
        assert!(matches!(decide(EngineChoice::Auto, Backend::Sim, true), Ok(Chosen::Graph(None))));
    }
}
