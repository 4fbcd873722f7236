//! Files with token ids.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use super::failure::Failure;

/// The longest text that is read: a device that never ends must not fill the memory.
const MOST: u64 = 256 << 20;

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
    read_at_most(path, MOST).map_err(|error| {
        Failure::usage(format_args!(
            "{} could not be read as text in UTF-8 ({error}); check the path and the file",
            path.display()
        ))
    })
}

fn read_at_most(path: &Path, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
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

    #[test]
    fn a_text_without_end_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(&path, "1234é").unwrap();
        assert_eq!(read_at_most(&path, 6).unwrap(), "1234é");
        for most in [5, 4, 0] {
            assert!(read_at_most(&path, most).unwrap_err().to_string().contains("more than"), "{most}");
        }
    }
}
