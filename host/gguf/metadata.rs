//! The key-value pairs of a GGUF file, with readers that say what they expected.

use super::error::{GgufError, MetadataError, shown};
use ::gguf::{GGUFMetadata, GGUFMetadataArrayValue, GGUFMetadataValue, GGUfMetadataValueType};
use std::collections::HashMap;

/// A metadata value; the widths of the file's integers and floats are not kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An unsigned integer.
    Unsigned(u64),
    /// A signed integer.
    Signed(i64),
    /// A floating-point number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    String(String),
    /// Several values of one type.
    Array(Array),
}

/// The items of an array.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Unsigned integers.
    Unsigned(Vec<u64>),
    /// Signed integers.
    Signed(Vec<i64>),
    /// Floating-point numbers.
    Float(Vec<f64>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Texts.
    String(Vec<String>),
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Signed(..0) => "a negative integer",
            Self::Unsigned(_) | Self::Signed(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::String(_) => "a string",
            Self::Array(Array::Unsigned(_) | Array::Signed(_)) => "an array of integers",
            Self::Array(Array::Float(_)) => "an array of floats",
            Self::Array(Array::Bool(_)) => "an array of booleans",
            Self::Array(Array::String(_)) => "an array of strings",
        }
    }
}

/// All pairs, in file order.
#[derive(Debug)]
pub struct Metadata {
    pairs: Vec<(String, Value)>,
    index: HashMap<String, usize>,
}

impl Metadata {
    pub(super) fn new(parsed: Vec<GGUFMetadata>) -> Result<Self, GgufError> {
        let mut metadata = Self { pairs: Vec::with_capacity(parsed.len()), index: HashMap::new() };
        for GGUFMetadata { key, value, .. } in parsed {
            if metadata.index.insert(key.clone(), metadata.pairs.len()).is_some() {
                return Err(GgufError::DuplicateKey { key: shown(&key) });
            }
            metadata.pairs.push((key, convert(value)));
        }
        Ok(metadata)
    }

    /// All pairs, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.index.get(key).map(|&at| &self.pairs[at].1)
    }

    /// The value of a key that holds a non-negative integer.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, MetadataError> {
        self.read(key, "a non-negative integer", |value| match value {
            Value::Unsigned(number) => Some(*number),
            Value::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        })
    }

    /// The value of a key that holds a float.
    pub fn float(&self, key: &str) -> Result<Option<f32>, MetadataError> {
        self.read(key, "a float", |value| match value {
            Value::Float(number) => Some(*number as f32),
            _ => None,
        })
    }

    /// The value of a key that holds a boolean.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, MetadataError> {
        self.read(key, "a boolean", |value| match value {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        })
    }

    /// The value of a key that holds a string.
    pub fn string(&self, key: &str) -> Result<Option<&str>, MetadataError> {
        self.read(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The value of a key that holds an array of strings.
    pub fn strings(&self, key: &str) -> Result<Option<&[String]>, MetadataError> {
        self.read(key, "an array of strings", |value| match value {
            Value::Array(Array::String(items)) => Some(items.as_slice()),
            _ => None,
        })
    }

    /// The value of a key that holds an array of integers.
    pub fn integers(&self, key: &str) -> Result<Option<Vec<i64>>, MetadataError> {
        self.read(key, "an array of integers", |value| match value {
            Value::Array(Array::Signed(items)) => Some(items.clone()),
            Value::Array(Array::Unsigned(items)) => {
                items.iter().map(|&item| i64::try_from(item).ok()).collect()
            }
            _ => None,
        })
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        reader: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, MetadataError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match reader(value) {
            Some(read) => Ok(Some(read)),
            None => Err(MetadataError { key: shown(key), expected, found: value.type_name() }),
        }
    }
}

fn convert(value: GGUFMetadataValue) -> Value {
    use GGUFMetadataValue as V;
    match value {
        V::Uint8(number) => Value::Unsigned(number.into()),
        V::Uint16(number) => Value::Unsigned(number.into()),
        V::Uint32(number) => Value::Unsigned(number.into()),
        V::Uint64(number) => Value::Unsigned(number),
        V::Int8(number) => Value::Signed(number.into()),
        V::Int16(number) => Value::Signed(number.into()),
        V::Int32(number) => Value::Signed(number.into()),
        V::Int64(number) => Value::Signed(number),
        V::Float32(number) => Value::Float(number.into()),
        V::Float64(number) => Value::Float(number),
        V::Bool(truth) => Value::Bool(truth),
        V::String(text) => Value::String(text),
        V::Array(array) => Value::Array(convert_array(array)),
    }
}

fn convert_array(array: GGUFMetadataArrayValue) -> Array {
    use GGUfMetadataValueType as T;
    let items = array.value.into_iter().map(convert);
    match array.value_type {
        T::Uint8 | T::Uint16 | T::Uint32 | T::Uint64 => Array::Unsigned(pick(items, |value| match value {
            Value::Unsigned(number) => Some(number),
            _ => None,
        })),
        T::Int8 | T::Int16 | T::Int32 | T::Int64 => Array::Signed(pick(items, |value| match value {
            Value::Signed(number) => Some(number),
            _ => None,
        })),
        T::Float32 | T::Float64 => Array::Float(pick(items, |value| match value {
            Value::Float(number) => Some(number),
            _ => None,
        })),
        T::Bool => Array::Bool(pick(items, |value| match value {
            Value::Bool(truth) => Some(truth),
            _ => None,
        })),
        T::String | T::Array => Array::String(pick(items, |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })),
    }
}

/// The parser gives every item of an array its one type, so nothing is left out here.
fn pick<T>(items: impl Iterator<Item = Value>, reader: fn(Value) -> Option<T>) -> Vec<T> {
    items.filter_map(reader).collect()
}
