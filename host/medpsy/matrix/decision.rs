//! What may be claimed of a matrix: computed from its rows and nothing else.

use serde::{Deserialize, Serialize};

use super::record::{Artifact, Method, Row, Scenario, Status, Strength};
use crate::medpsy::artifact::{PINNED, Provenance};
use crate::medpsy::receipt::{ExecutionEngine, Means};

/// What may be claimed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Where Psionic ran: `available_on_cuda`, `available_on_cpu` or `not_available`.
    pub psionic_runtime_smoke: String,
    /// Which comparators there are.
    pub comparator_publication: String,
    /// Whether Psionic was as fast as every comparator here, and agreed with one.
    pub parity: Parity,
    /// Whether a competitive claim for MedPsy may be made: parity on the published weights.
    pub can_claim_competitive: bool,
    /// The same, by its older name.
    pub can_claim_competitive_medpsy: bool,
    /// Why not, or why so.
    pub reasons: Vec<String>,
}

/// Psionic beside the comparators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parity {
    /// What it takes.
    pub threshold: String,
    /// Whether it is met.
    pub met: bool,
    /// Each figure that was compared.
    pub comparisons: Vec<Compared>,
    /// Why it is not met.
    pub reasons: Vec<String>,
}

/// One figure of both: of every kind of row the best turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// What ended the runs.
    pub scenario: Scenario,
    /// How the comparator was measured.
    pub method: Method,
    /// `decode_only` or `end_to_end`, in tokens per second, warm.
    pub figure: String,
    /// Psionic's.
    pub psionic: f64,
    /// The comparator's.
    pub other: f64,
    /// The first over the second.
    pub ratio: f64,
}

const THRESHOLD: &str = "on one idle GPU and one file, in every scenario, Psionic's warm rate is at least every comparator's, \
    after the first token and, where the comparator has a prompt, over the whole time; a comparator that chooses tokens \
    agrees strongly, and none is mismatched";

/// Decides.
pub fn decide(artifact: &Artifact, rows: &[Row]) -> Decision {
    let parity = parity(artifact, rows);
    let completed = |engine: ExecutionEngine| {
        rows.iter().any(|row| row.is_psionic() && row.execution_engine.as_deref() == Some(engine.name()))
    };
    let runtime = match (completed(ExecutionEngine::Cuda), completed(ExecutionEngine::CpuSimulator)) {
        (true, _) => "available_on_cuda",
        (false, true) => "available_on_cpu",
        (false, false) => "not_available",
    };
    let missing = rows.iter().filter(|row| row.status != Status::Completed).count();
    let comparators = rows.iter().filter(|row| row.is_comparator()).count();
    let publication = match (comparators, missing) {
        (0, _) => "no_comparator".to_owned(),
        (_, 0) => "complete".to_owned(),
        (_, missing) => format!("partial_{missing}_rows_failed_or_not_run"),
    };
    let original = artifact.provenance == Provenance::Pinned && artifact.sha256 == PINNED.sha256;
    let mut reasons = Vec::new();
    if !original {
        reasons.push(format!(
            "the rows ran {} ({}), not the published weights {} with the SHA-256 {}",
            artifact.file, artifact.provenance_note, PINNED.file, PINNED.sha256
        ));
    }
    if !parity.met {
        reasons.push("the parity threshold is not met".to_owned());
    }
    let can_claim = reasons.is_empty();
    if can_claim {
        reasons.push("the parity threshold is met on the published weights".to_owned());
    }
    Decision {
        psionic_runtime_smoke: runtime.to_owned(),
        comparator_publication: publication,
        parity,
        can_claim_competitive: can_claim,
        can_claim_competitive_medpsy: can_claim,
        reasons,
    }
}

fn parity(artifact: &Artifact, rows: &[Row]) -> Parity {
    let mut reasons = Vec::new();
    let mut comparisons = Vec::new();
    for scenario in Scenario::ALL {
        let of_scenario = |row: &&Row| row.scenario == Some(scenario);
        let ours: Vec<&Row> =
            rows.iter().filter(of_scenario).filter(|row| backs(row, artifact) && is_cuda(row)).collect();
        let theirs: Vec<&Row> = rows.iter().filter(of_scenario).filter(|row| row.is_comparator()).collect();
        let title = scenario.title();
        if ours.is_empty() {
            reasons.push(format!(
                "{title}: no completed row of psionic_qwen3_cuda on an idle GPU with this file"
            ));
            continue;
        }
        let same_gpu =
            |row: &&&Row| ours.iter().all(|psionic| psionic.gpu.is_some() && psionic.gpu == row.gpu);
        let agrees = |row: &&&Row| row.agreement.as_ref().is_some_and(|a| a.strength == Strength::Strong);
        if !theirs.iter().filter(same_gpu).filter(agrees).any(|row| backs(row, artifact)) {
            reasons.push(format!(
                "{title}: no comparator that ran this file on the same idle GPU agrees strongly"
            ));
        }
        for row in &theirs {
            let strength = row.agreement.as_ref().map(|agreement| agreement.strength);
            if matches!(strength, None | Some(Strength::Mismatched)) {
                reasons.push(format!("{title}: {} is mismatched", row.runtime));
            }
        }
        let mut methods: Vec<Method> = theirs.iter().filter_map(|row| row.method).collect();
        methods.sort_unstable();
        methods.dedup();
        for method in methods {
            let rows: Vec<&Row> = theirs.iter().copied().filter(|row| row.method == Some(method)).collect();
            for (figure, value) in
                [("decode_only", decode_only as fn(&Means) -> Option<f64>), ("end_to_end", end_to_end)]
            {
                let (Some(psionic), Some(other)) = (best(&ours, value), best(&rows, value)) else { continue };
                let ratio = psionic / other;
                if ratio.is_nan() || ratio < 1.0 {
                    reasons.push(format!(
                        "{title}: {figure} {psionic:.1} tokens/s against {other:.1} of {}",
                        method.title()
                    ));
                }
                comparisons.push(Compared {
                    scenario,
                    method,
                    figure: figure.to_owned(),
                    psionic,
                    other,
                    ratio,
                });
            }
        }
        if !comparisons.iter().any(|compared| compared.scenario == scenario) {
            reasons.push(format!("{title}: no figure that both have"));
        }
    }
    // The turns of a comparator say the same.
    reasons.dedup();
    Parity { threshold: THRESHOLD.to_owned(), met: reasons.is_empty(), comparisons, reasons }
}

fn decode_only(means: &Means) -> Option<f64> {
    means.decode_only_tokens_per_second
}

fn end_to_end(means: &Means) -> Option<f64> {
    means.end_to_end_tokens_per_second
}

/// The best turn's warm figure.
fn best(rows: &[&Row], value: fn(&Means) -> Option<f64>) -> Option<f64> {
    rows.iter().filter_map(|row| value(row.warm.as_ref()?)).max_by(f64::total_cmp)
}

/// Whether a row can back a claim: it ran this file on a GPU that nobody else used.
fn backs(row: &Row, artifact: &Artifact) -> bool {
    row.status == Status::Completed
        && row.idle_check.is_some()
        && row.artifact_sha256.as_ref() == Some(&artifact.sha256)
}

fn is_cuda(row: &Row) -> bool {
    row.is_psionic() && row.execution_engine.as_deref() == Some(ExecutionEngine::Cuda.name())
}

impl Decision {
    /// Whether it is the same decision, but for the last digits of figures.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let plain = |decision: &Self| {
            let mut decision = decision.clone();
            for compared in &mut decision.parity.comparisons {
                for figure in [&mut compared.psionic, &mut compared.other, &mut compared.ratio] {
                    *figure = (*figure * 1e6).round();
                }
            }
            decision
        };
        plain(self) == plain(other)
    }
}
