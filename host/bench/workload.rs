//! What one line of a benchmark times.

use std::fmt;

/// The part of decoding that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Feeding a prompt of this many tokens.
    Prompt(usize),
    /// Generating this many tokens, one after another.
    Generate(usize),
}

/// A phase, timed when the sequence already holds `depth` tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// What is timed.
    pub phase: Phase,
    /// Tokens before it, which are not timed.
    pub depth: usize,
}

impl Workload {
    /// Every prompt length, then every generation length, at every depth. A length of 0 means that there is none.
    pub fn product(prompts: &[usize], generated: &[usize], depths: &[usize]) -> Vec<Self> {
        let prompts = prompts.iter().filter(|&&n| n > 0).map(|&n| Phase::Prompt(n));
        let generated = generated.iter().filter(|&&n| n > 0).map(|&n| Phase::Generate(n));
        let phases: Vec<Phase> = prompts.chain(generated).collect();
        let at = |&depth: &usize| phases.iter().map(move |&phase| Self { phase, depth });
        depths.iter().flat_map(at).collect()
    }

    /// Tokens that are timed.
    pub fn tokens(&self) -> usize {
        match self.phase {
            Phase::Prompt(n) | Phase::Generate(n) => n,
        }
    }

    /// Positions that the sequence needs. Saturates, so that an absurd length is refused for its size.
    pub fn positions(&self) -> usize {
        // A generation starts from a prompt of one token.
        let own = match self.phase {
            Phase::Prompt(n) => n,
            Phase::Generate(n) => n.saturating_add(1),
        };
        self.depth.saturating_add(own)
    }
}

/// The name that llama-bench gives it: `pp512`, `tg128 @ d4096`.
impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Phase::Prompt(n) => write!(f, "pp{n}")?,
            Phase::Generate(n) => write!(f, "tg{n}")?,
        }
        if self.depth > 0 { write!(f, " @ d{}", self.depth) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_multiplied_and_zero_means_none() {
        let names: Vec<String> =
            Workload::product(&[0, 512], &[128], &[0, 64]).iter().map(Workload::to_string).collect();
        assert_eq!(names, ["pp512", "tg128", "pp512 @ d64", "tg128 @ d64"]);
        assert!(Workload::product(&[0], &[0], &[0]).is_empty());
    }

    #[test]
    fn a_generation_needs_a_position_for_the_token_that_it_starts_from() {
        assert_eq!(Workload { phase: Phase::Generate(128), depth: 10 }.positions(), 139);
        assert_eq!(Workload { phase: Phase::Prompt(128), depth: 10 }.positions(), 138);
        assert_eq!(Workload { phase: Phase::Generate(usize::MAX), depth: 1 }.positions(), usize::MAX);
    }
}
