//! Files with token ids.

use std::path::Path;

use serde::Deserialize;

use super::failure::Failure;

/// The forms that token ids come in.
#[derive(Deserialize)]
#[serde(untagged)]
enum TokenIds {
    Array(Vec<u32>),
    Object { token_ids: Vec<u32> },
    Golden { nll: Inner },
}

#[derive(Deserialize)]
struct Inner {
    token_ids: Vec<u32>,
}

/// The ids in a file.
pub fn read(path: &Path) -> Result<Vec<u32>, Failure> {
    parse(path, &text(path)?)
}

/// A file's text.
pub fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format_args!(
            "{} could not be read as text in UTF-8 ({error}); check the path and the file",
            path.display()
        ))
    })
}

fn parse(path: &Path, text: &str) -> Result<Vec<u32>, Failure> {
    let refused = |found: String| {
        Failure::usage(format_args!(
            "expected {} to hold token ids, as [1, 2] or {{\"token_ids\": [1, 2]}}, found {found}; correct the file",
            path.display()
        ))
    };
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| refused(format!("no JSON ({error})")))?;
    match serde_json::from_value(value) {
        Ok(TokenIds::Array(ids) | TokenIds::Object { token_ids: ids }) => Ok(ids),
        Ok(TokenIds::Golden { nll }) => Ok(nll.token_ids),
        Err(_) => Err(refused("something else".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_ids_come_in_three_forms() {
        let path = Path::new("ids.json");
        for text in
            ["[1, 2]", r#"{"token_ids": [1, 2], "x": 0}"#, r#"{"cases": [], "nll": {"token_ids": [1, 2]}}"#]
        {
            assert_eq!(parse(path, text).unwrap(), [1, 2]);
        }
        for text in ["", "[1, -2]", "[1.5]", "{}", r#"{"token_ids": "1"}"#, "[4294967296]"] {
            assert!(parse(path, text).is_err(), "{text}");
        }
    }
}
