//! What changed between two texts.
use std::collections::BTreeMap;

use serde::Serialize;

use crate::Figure;

/// What changed in an entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntryDiff {
    /// Its name.
    pub name: String,
    /// Whether both have it.
    pub state: State,
    /// The figures that differ; of an entry that only one has, all that are not 0.
    pub changes: Vec<Change>,
}

/// Whether both texts have an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Both do, and it is the same in all figures.
    Same,
    /// Both do.
    Changed,
    /// Only the second.
    Added,
    /// Only the first.
    Removed,
}

/// A figure that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub figure: &'static str,
    /// What it was.
    pub before: Option<u64>,
    /// What it is.
    pub after: Option<u64>,
}

/// The figures of a text's entries, by name.
pub type Entries = BTreeMap<String, Vec<Figure>>;

/// Compares two texts: every entry of either, by name.
pub fn diff(before: &Entries, after: &Entries) -> Vec<EntryDiff> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| entry(name, before.get(name), after.get(name))).collect()
}

fn entry(name: &str, before: Option<&Vec<Figure>>, after: Option<&Vec<Figure>>) -> EntryDiff {
    let value = |figures: Option<&Vec<Figure>>, name: &str| {
        figures.and_then(|figures| figures.iter().find(|figure| figure.name == name)?.value)
    };
    let mut figures: Vec<&'static str> =
        before.into_iter().chain(after).flatten().map(|figure| figure.name).collect();
    let mut seen = Vec::new();
    figures.retain(|name| {
        let new = !seen.contains(name);
        seen.push(*name);
        new
    });
    let both = before.is_some() && after.is_some();
    let changes: Vec<Change> = figures
        .into_iter()
        .map(|figure| Change { figure, before: value(before, figure), after: value(after, figure) })
        .filter(|change| match both {
            // What one assembler was not there to tell has not changed.
            true => change.before.zip(change.after).is_some_and(|(before, after)| before != after),
            false => change.before.or(change.after).is_some_and(|value| value > 0),
        })
        .collect();
    let state = match (before, after) {
        (None, _) => State::Added,
        (_, None) => State::Removed,
        _ if changes.is_empty() => State::Same,
        _ => State::Changed,
    };
    EntryDiff { name: name.to_owned(), state, changes }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Values<'v> = &'v [(&'static str, Option<u64>)];

    fn entries(list: &[(&str, Values<'_>)]) -> Entries {
        let figures =
            |figures: Values<'_>| figures.iter().map(|&(name, value)| Figure { name, value }).collect();
        list.iter().map(|(name, list)| ((*name).to_owned(), figures(list))).collect()
    }

    #[test]
    fn only_what_differs_is_told() {
        let before =
            entries(&[("a", &[("x", Some(1)), ("y", Some(2)), ("z", None)]), ("b", &[("x", Some(0))])]);
        let after =
            entries(&[("a", &[("x", Some(1)), ("y", Some(3)), ("z", Some(4))]), ("c", &[("x", Some(7))])]);
        let found = diff(&before, &after);
        let change = |figure, before, after| Change { figure, before, after };
        assert_eq!(found[0].changes, [change("y", Some(2), Some(3))]);
        assert_eq!((found[1].state, found[1].changes.len()), (State::Removed, 0));
        assert_eq!(
            (found[2].state, &found[2].changes[..]),
            (State::Added, &[change("x", None, Some(7))][..])
        );
        assert!(diff(&before, &before).iter().all(|entry| entry.state == State::Same));
    }
}
