//! The release gate: what is claimed must be in a retained matrix, with its evidence, and Psionic must stand alone.

use std::fs;
use std::path::Path;

use psionic_peer::PeerRun;
use serde::Serialize;
use serde_json::{Value, json};

use super::admission::{OTHER_SIZE, Posture, TABLE};
use super::artifact::PINNED;
use super::matrix::{MATRIX_SCHEMA, Matrix, Method, REQUIREMENTS, Row, Status, decide, judge, means};
use super::policy::{MedicalPolicy, PERSONA, REFUSED_PHRASES};
use super::receipt::{BENCH_SCHEMA, Means};

/// The admission policy, below the repository's root.
pub const POLICY_FILE: &str = "fixtures/medpsy/capability/medpsy_admission_policy_v1.json";
/// What Psionic can do with MedPsy, and what may be claimed of it.
pub const CAPABILITY_FILE: &str = "fixtures/medpsy/capability/medpsy_capability_matrix_v1.json";
/// The folder of the retained matrices.
pub const MATRICES: &str = "fixtures/medpsy/benchmarks";

/// Packages that run models, or other languages' runtimes: none may be below Psionic. A trailing `*` stands for any end.
const FORBIDDEN: [&str; 20] = [
    "candle*",
    "ctranslate2*",
    "cxx",
    "ggml*",
    "libtorch*",
    "llama-cpp*",
    "llama_cpp*",
    "mistralrs*",
    "mlx*",
    "ollama*",
    "onnxruntime*",
    "ort",
    "ort-sys",
    "pyo3*",
    "qvac*",
    "rust-bert*",
    "tch",
    "torch-sys*",
    "tract-*",
    "vllm*",
];

/// What the gate found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule that is broken.
    pub rule: Rule,
    /// Where and how, in a sentence.
    pub message: String,
}

/// The gate's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The policy file says what the program does.
    PolicyFile,
    /// What is claimed is backed by a row.
    ClaimWithoutRow,
    /// A matrix can be read, has the contract's rows, and its decision follows from them.
    Matrix,
    /// A row has its evidence.
    RowEvidence,
    /// No other engine is below Psionic.
    Dependency,
    /// What the capability matrix refers to is there.
    Reference,
}

/// What the gate looks at.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The admission policy.
    pub policy: Value,
    /// The capability matrix.
    pub capability: Value,
    /// The names and contents of the retained matrices.
    pub matrices: Vec<(String, Value)>,
    /// The packages below Psionic, one in a line, as `cargo tree --prefix none` prints them.
    pub dependencies: String,
    /// Of what the capability matrix refers to, what is not there.
    pub absent: Vec<String>,
}

impl Evidence {
    /// Reads everything below a repository's root.
    ///
    /// # Errors
    /// In a sentence, when a file cannot be read or is no JSON.
    pub fn read(root: &Path, dependencies: String) -> Result<Self, String> {
        let capability = json_file(&root.join(CAPABILITY_FILE))?;
        let mut matrices = Vec::new();
        let folder = root.join(MATRICES);
        if folder.exists() {
            let listed = |error| format!("{} could not be listed ({error})", folder.display());
            for entry in fs::read_dir(&folder).map_err(listed)? {
                let path = entry.map_err(listed)?.path();
                if path.extension().is_some_and(|extension| extension == "json") {
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    matrices.push((name, json_file(&path)?));
                }
            }
        }
        matrices.sort_by(|a, b| a.0.cmp(&b.0));
        let absent =
            references(&capability).filter(|path| !root.join(path).exists()).map(str::to_owned).collect();
        Ok(Self { policy: json_file(&root.join(POLICY_FILE))?, capability, matrices, dependencies, absent })
    }
}

fn json_file(path: &Path) -> Result<Value, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("{} could not be read ({error})", path.display()))?;
    serde_json::from_str(&text)
        .map_err(|error| format!("expected JSON in {}, found something else ({error})", path.display()))
}

/// The paths that the capability matrix refers to.
fn references(capability: &Value) -> impl Iterator<Item = &str> {
    let refs = capability["implemented_refs"].as_object().into_iter().flat_map(|refs| refs.values());
    refs.chain([&capability["release_gate"]["checker"]]).filter_map(Value::as_str)
}

/// Everything that is wrong; nothing when the gate is open.
pub fn check(evidence: &Evidence) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    policy_file(&evidence.policy, &mut found);
    let mut matrices = Vec::new();
    for (name, value) in &evidence.matrices {
        match serde_json::from_value::<Matrix>(value.clone()) {
            Ok(matrix) => {
                check_matrix(name, &matrix, &mut found);
                matrices.push(matrix);
            }
            Err(error) => found.add(Rule::Matrix, format!("{name} is no comparator matrix: {error}")),
        }
    }
    claims(&evidence.capability, &matrices, &mut found);
    for path in &evidence.absent {
        found.add(Rule::Reference, format!("the capability matrix refers to {path}, which is not there"));
    }
    dependencies(&evidence.dependencies, &mut found);
    found.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, rule: Rule, message: impl Into<String>) {
        self.0.push(Finding { rule, message: message.into() });
    }

    fn expect(&mut self, rule: Rule, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, message());
        }
    }
}

/// The policy file against the program.
fn policy_file(policy: &Value, found: &mut Findings) {
    let mut rules = serde_json::to_value(MedicalPolicy::current()).unwrap_or_default();
    rules["refused_phrases"] = json!(REFUSED_PHRASES);
    let tiers = |posture| {
        let named = TABLE.iter().filter(move |(_, _, of)| *of == posture);
        json!(
            named
                .map(|(size, tier, _)| match size {
                    Some(size) => format!("{} {tier}", size.name().to_uppercase()),
                    None => (*tier).to_owned(),
                })
                .collect::<Vec<_>>()
        )
    };
    let expected = [
        ("/medical_policy", rules),
        ("/prompt_template/persona", json!(PERSONA)),
        ("/quantization_admission/preferred", tiers(Posture::Preferred)),
        ("/quantization_admission/allowed_with_warning", tiers(Posture::AllowedWithWarning)),
        ("/quantization_admission/blocked_by_default", tiers(Posture::BlockedByDefault)),
        ("/quantization_admission/unlisted_tiers", json!(Posture::BlockedByDefault)),
        ("/pinned_artifacts", json!([{"repo": PINNED.repo, "file": PINNED.file, "sha256": PINNED.sha256}])),
        ("/runtime_boundary/target_runtime", json!("rust_native_psionic")),
    ];
    for (at, expected) in expected {
        let told = policy.pointer(at).unwrap_or(&Value::Null);
        found.expect(Rule::PolicyFile, *told == expected, || {
            format!("the policy file says {told} at {at}, the program {expected}")
        });
    }
}

fn check_matrix(name: &str, matrix: &Matrix, found: &mut Findings) {
    let mut rule = |holds: bool, what: &str| {
        found.expect(Rule::Matrix, holds, || format!("{name}: {what}"));
    };
    rule(matrix.schema == MATRIX_SCHEMA, "the schema is another");
    rule(matrix.medical_policy == MedicalPolicy::current(), "the medical policy is another");
    rule(matrix.artifact.admission.model_size != OTHER_SIZE, "the model has the shape of no published size");
    rule(
        matrix.logits.as_ref().is_none_or(|logits| logits.is_sound()),
        "the verdict on the logits does not follow from them",
    );
    rule(
        matrix.decision.agrees_with(&decide(&matrix.artifact, &matrix.rows)),
        "the decision does not follow from the rows",
    );
    for requirement in REQUIREMENTS {
        let told = matrix.rows.iter().any(|row| {
            row.requirement.as_deref() == Some(requirement.name) && row.status != Status::Completed
        });
        rule(
            told || requirement.is_met(&matrix.artifact, &matrix.rows),
            &format!("there is no row for {}, neither with figures nor with a reason", requirement.name),
        );
    }
    for (index, row) in matrix.rows.iter().enumerate() {
        for lack in lacks(row, matrix) {
            found.add(Rule::RowEvidence, format!("{name}: row {index} ({}) lacks {lack}", row.runtime));
        }
    }
}

/// What evidence a row lacks.
fn lacks(row: &Row, matrix: &Matrix) -> Vec<&'static str> {
    let mut lacks = Vec::new();
    let mut need = |there: bool, what: &'static str| {
        if !there {
            lacks.push(what);
        }
    };
    if row.status != Status::Completed {
        need(
            row.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty()),
            "the reason why it has no figures",
        );
        return lacks;
    }
    need(
        row.method.is_some() && row.scenario.is_some() && row.execution_engine.is_some(),
        "how it was measured",
    );
    need(row.version.is_some(), "the program's version");
    need(
        row.artifact_sha256.as_ref() == Some(&matrix.artifact.sha256),
        "the digest of the matrix's artifact",
    );
    need(row.idle_check.is_some(), "the check that the GPU was idle");
    need(row.warm.is_some_and(|warm| warm.runs > 0), "warm runs");
    need(
        row.output_tokens.is_some() && row.stopped_on_eos.is_some(),
        "whether the limit or the end of the text ended it",
    );
    need(row.repeats_identical != Some(false), "repeats that chose the same tokens");
    need(row.report.is_some() || row.imported_from.is_some(), "the program's report");
    need(figures_follow(row), "figures that follow from its report");
    if row.is_psionic() {
        let report = row.report.as_ref();
        need(
            report.is_some_and(|report| {
                report["schema"] == BENCH_SCHEMA && !report["medical_policy"].is_null()
            }),
            "a report with the claim boundary",
        );
        need(row.generated_tokens.is_some(), "its tokens");
    } else {
        let told = row.agreement.as_ref().map(|agreement| agreement.strength);
        let psionic = matrix.rows.iter().find(|ours| ours.is_psionic() && ours.scenario == row.scenario);
        let random = matrix.artifact.provenance.has_random_weights();
        let judged = psionic.map(|ours| judge(ours, row, random, matrix.logits.as_ref()).strength);
        need(told.is_some() && told == judged, "an agreement that follows from its tokens");
    }
    lacks
}

/// Whether a row's figures are those of the report inside; what was imported has none.
fn figures_follow(row: &Row) -> bool {
    let Some(report) = &row.report else { return true };
    let told = |means: Option<Means>| serde_json::to_value(means).unwrap_or_default();
    let runs = || serde_json::from_value::<Vec<PeerRun>>(report["warm"].clone()).unwrap_or_default();
    match row.method {
        Some(Method::PsionicBench) => report["warm"] == told(row.warm),
        Some(Method::LlamaPeerDevice | Method::LlamaPeerHost) => {
            told(means(&runs().iter().collect::<Vec<_>>())) == told(row.warm)
        }
        _ => true,
    }
}

/// What the capability matrix claims, against the rows.
fn claims(capability: &Value, matrices: &[Matrix], found: &mut Findings) {
    let gate = &capability["release_gate"];
    let backed = |name: &str, holds: bool, found: &mut Findings| {
        let claimed = &gate[name];
        found.expect(Rule::ClaimWithoutRow, claimed.is_boolean(), || {
            format!("the capability matrix does not say whether {name}")
        });
        found.expect(Rule::ClaimWithoutRow, claimed != true || holds, || {
            format!("{name} is true, and no retained matrix backs it")
        });
    };
    let parity = matrices.iter().any(|matrix| matrix.decision.parity.met);
    let competitive = matrices.iter().any(|matrix| matrix.decision.can_claim_competitive);
    backed("parity_claim_allowed", parity, found);
    backed("competitive_claim_allowed", competitive, found);
    // No figure of a runtime is evidence of medical quality.
    backed("clinical_claim_allowed", false, found);
    for entry in capability["supported"].as_array().into_iter().flatten() {
        let (Some(posture), Some(engine)) = (entry["posture"].as_str(), entry["execution_engine"].as_str())
        else {
            continue;
        };
        if posture.starts_with("measured") {
            let of_engine = |row: &Row| row.is_psionic() && row.execution_engine.as_deref() == Some(engine);
            let measured = matrices.iter().any(|matrix| matrix.rows.iter().any(of_engine));
            found.expect(Rule::ClaimWithoutRow, measured, || {
                format!(
                    "{} is said to be measured on {engine}, and no retained matrix has a row of it",
                    entry["capability"]
                )
            });
        }
    }
}

/// The packages below Psionic.
fn dependencies(tree: &str, found: &mut Findings) {
    let names = || tree.lines().filter_map(|line| line.split_whitespace().next());
    found.expect(Rule::Dependency, names().any(|name| name == "psionic"), || {
        "the dependency tree is not Psionic's: it has no package psionic".to_owned()
    });
    let forbidden = |name: &str| {
        FORBIDDEN.iter().find(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == **pattern,
        })
    };
    let mut named: Vec<&str> = names().filter(|name| forbidden(name).is_some()).collect();
    named.sort_unstable();
    named.dedup();
    for name in named {
        found.add(Rule::Dependency, format!("Psionic depends on {name}, which runs models in its place"));
    }
}
