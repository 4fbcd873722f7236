//! Limits that kernels are held to.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diff::Entries;

/// What the file says that it is.
pub const SCHEMA: &str = "psionic.ptx.budget.v1";

/// The figures that a new budget limits.
const WRITTEN: &[&str] = &[
    "registers",
    "spill_store_bytes",
    "spill_load_bytes",
    "stack_bytes",
    "static_shared_bytes",
    "local_bytes",
    "instructions",
    "barriers",
    "local_memory",
    "generic_memory",
    "double",
    "unknown",
];

/// Limits by target, entry and figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// [`SCHEMA`].
    pub schema: String,
    /// What is not exceeded by what is found, as in `sm_90`, `attention`, `registers`.
    pub targets: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
}

/// Why a budget cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// It is no budget.
    #[error("expected a budget, found {0}; `--write` makes one")]
    Syntax(String),
    /// It is one of another kind.
    #[error("expected a budget of the schema {SCHEMA}, found {0:?}; write it again with `--write`")]
    Schema(String),
    /// It limits what there is not.
    #[error("the budget limits `{figure}` of `{entry}`, which is no figure; known are {}", known.join(", "))]
    Figure {
        /// The entry.
        entry: String,
        /// The name.
        figure: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

/// What does not keep to a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Excess {
    /// A figure is above its limit.
    Over {
        /// The target.
        target: String,
        /// The entry.
        entry: String,
        /// The figure.
        figure: String,
        /// What it may be.
        limit: u64,
        /// What it is.
        found: u64,
    },
    /// The budget says nothing of a target.
    NoTarget {
        /// The target.
        target: String,
    },
    /// The budget says nothing of an entry.
    NoBudget {
        /// The target.
        target: String,
        /// The entry.
        entry: String,
    },
    /// The budget has an entry that is not there.
    NoEntry {
        /// The target.
        target: String,
        /// The entry.
        entry: String,
    },
}

/// How a target keeps to a budget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What does not.
    pub excesses: Vec<Excess>,
    /// Limits that were compared.
    pub checked: usize,
    /// Limits that were not, for want of the assembler.
    pub skipped: usize,
}

impl Budget {
    /// Reads a budget.
    pub fn parse(text: &str) -> Result<Self, BudgetError> {
        let budget: Self =
            serde_json::from_str(text).map_err(|error| BudgetError::Syntax(error.to_string()))?;
        if budget.schema != SCHEMA {
            return Err(BudgetError::Schema(budget.schema));
        }
        Ok(budget)
    }

    /// A budget that these just keep to, but for the instructions, of which there may be `slack` percent more: compilers
    /// differ. Entries are by target. What the assembler was not there to tell is taken from an older budget.
    pub fn of(targets: &BTreeMap<String, Entries>, slack: u32, older: Option<&Self>) -> Self {
        let limit = |target: &str, entry: &str, figure: &crate::Figure| {
            let value =
                figure.value.or_else(|| older?.targets.get(target)?.get(entry)?.get(figure.name).copied())?;
            Some(match figure.name {
                "instructions" => value + (value * u64::from(slack)).div_ceil(100),
                _ => value,
            })
        };
        let targets = targets.iter().map(|(target, entries)| {
            let entries = entries.iter().map(|(entry, figures)| {
                let limits = figures
                    .iter()
                    .filter(|figure| WRITTEN.contains(&figure.name))
                    .filter_map(|figure| Some((figure.name.to_owned(), limit(target, entry, figure)?)));
                (entry.clone(), limits.collect())
            });
            (target.clone(), entries.collect())
        });
        Self { schema: SCHEMA.to_owned(), targets: targets.collect() }
    }

    /// Holds the entries of a target to it.
    pub fn check(&self, target: &str, entries: &Entries) -> Result<Verdict, BudgetError> {
        let mut verdict = Verdict::default();
        let Some(budgets) = self.targets.get(target) else {
            verdict.excesses.push(Excess::NoTarget { target: target.to_owned() });
            return Ok(verdict);
        };
        let named = |entry: &String| (target.to_owned(), entry.clone());
        for (entry, figures) in entries {
            let Some(limits) = budgets.get(entry) else {
                let (target, entry) = named(entry);
                verdict.excesses.push(Excess::NoBudget { target, entry });
                continue;
            };
            for (name, &limit) in limits {
                let Some(figure) = figures.iter().find(|figure| figure.name == name) else {
                    return Err(BudgetError::Figure {
                        entry: entry.clone(),
                        figure: name.clone(),
                        known: figures.iter().map(|figure| figure.name.to_owned()).collect(),
                    });
                };
                match figure.value {
                    None => verdict.skipped += 1,
                    Some(found) => {
                        verdict.checked += 1;
                        if found > limit {
                            let ((target, entry), figure) = (named(entry), name.clone());
                            verdict.excesses.push(Excess::Over { target, entry, figure, limit, found });
                        }
                    }
                }
            }
        }
        for entry in budgets.keys().filter(|entry| !entries.contains_key(*entry)) {
            let (target, entry) = named(entry);
            verdict.excesses.push(Excess::NoEntry { target, entry });
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Figure;

    fn entries(registers: Option<u64>, instructions: u64) -> Entries {
        let figure = |name, value| Figure { name, value };
        let figures = vec![figure("registers", registers), figure("instructions", Some(instructions))];
        [("k".to_owned(), figures)].into()
    }

    fn budget() -> Budget {
        Budget::of(&[("sm_90".to_owned(), entries(Some(40), 100))].into(), 10, None)
    }

    #[test]
    fn what_was_written_is_kept_and_more_is_not() {
        let text = serde_json::to_string_pretty(&budget()).unwrap();
        let budget = Budget::parse(&text).unwrap();
        let verdict = budget.check("sm_90", &entries(Some(40), 110)).unwrap();
        assert_eq!((verdict.excesses.len(), verdict.checked, verdict.skipped), (0, 2, 0));
        let verdict = budget.check("sm_90", &entries(Some(41), 111)).unwrap();
        assert_eq!(verdict.excesses.len(), 2);
        let verdict = budget.check("sm_90", &entries(None, 1)).unwrap();
        assert_eq!((verdict.excesses.len(), verdict.checked, verdict.skipped), (0, 1, 1));
    }

    #[test]
    fn what_is_missing_on_either_side_is_told() {
        let none = Entries::new();
        assert!(matches!(budget().check("sm_90", &none).unwrap().excesses[..], [Excess::NoEntry { .. }]));
        assert!(matches!(budget().check("sm_80", &none).unwrap().excesses[..], [Excess::NoTarget { .. }]));
        let mut more = entries(Some(1), 1);
        more.insert("new".to_owned(), Vec::new());
        assert!(matches!(budget().check("sm_90", &more).unwrap().excesses[..], [Excess::NoBudget { .. }]));
    }

    #[test]
    fn a_budget_written_without_the_assembler_keeps_what_it_said() {
        let written = Budget::of(&[("sm_90".to_owned(), entries(None, 50))].into(), 0, Some(&budget()));
        let limits = &written.targets["sm_90"]["k"];
        assert_eq!((limits["registers"], limits["instructions"]), (40, 50));
    }

    #[test]
    fn what_is_no_budget_is_refused() {
        assert!(matches!(Budget::parse("{"), Err(BudgetError::Syntax(_))));
        assert!(matches!(Budget::parse(r#"{"schema": "x", "targets": {}}"#), Err(BudgetError::Schema(_))));
        let wrong = r#"{"schema": "psionic.ptx.budget.v1", "targets": {"sm_90": {"k": {"regs": 1}}}}"#;
        let error = Budget::parse(wrong).unwrap().check("sm_90", &entries(None, 1)).unwrap_err();
        assert!(error.to_string().contains("`regs` of `k`"), "{error}");
    }
}
