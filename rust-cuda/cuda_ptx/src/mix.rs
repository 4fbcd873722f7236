//! How often which instructions are there.
use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    Instruction,
    class::{Access, Class, Memory, Space, class, memory},
};

/// Instructions by their class. They are counted as they stand in the text, not as often as they run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Mix {
    /// All of them.
    pub instructions: u64,
    /// By class; a class that does not occur is left out.
    pub classes: BTreeMap<Class, u64>,
    /// Accesses of memory by space, width and policy, the most frequent first.
    pub memory: Vec<MemoryGroup>,
    /// The bytes that a thread loads if it runs each instruction once, parameters aside.
    pub loaded_bytes: u64,
    /// The bytes that it stores.
    pub stored_bytes: u64,
    /// Opcodes that are not known here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unknown: BTreeMap<String, u64>,
}

/// Accesses that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryGroup {
    /// What they are.
    #[serde(flatten)]
    pub memory: Memory,
    /// How many.
    pub count: u64,
}

impl Mix {
    /// Counts instructions.
    pub fn of<'a: 'i, 'i>(instructions: impl IntoIterator<Item = &'i Instruction<'a>>) -> Self {
        let mut mix = Self::default();
        let mut groups: BTreeMap<Memory, u64> = BTreeMap::new();
        for instruction in instructions {
            mix.instructions += 1;
            let class = class(instruction);
            *mix.classes.entry(class).or_default() += 1;
            if class == Class::Unknown {
                *mix.unknown.entry(instruction.opcode.to_owned()).or_default() += 1;
            }
            if let Some(memory) = memory(instruction).filter(|memory| memory.space != Space::Param) {
                let bytes = u64::from(memory.bytes);
                match memory.access {
                    Access::Load | Access::Copy => mix.loaded_bytes += bytes,
                    Access::Store => mix.stored_bytes += bytes,
                    Access::Atomic | Access::Prefetch => {}
                }
                *groups.entry(memory).or_default() += 1;
            }
        }
        mix.memory = groups.into_iter().map(|(memory, count)| MemoryGroup { memory, count }).collect();
        mix.memory.sort_by_key(|group| std::cmp::Reverse(group.count));
        mix
    }

    /// How many of a class.
    pub fn count(&self, class: Class) -> u64 {
        self.classes.get(&class).copied().unwrap_or(0)
    }

    /// The share of the bytes of global loads, stores and copies that move at least 16 bytes at a time; `None` where
    /// there are none.
    pub fn vectorised(&self) -> Option<f64> {
        let moved = |wide: u32| -> u64 {
            let global = self.memory.iter().filter(|group| {
                matches!(group.memory.space, Space::Global | Space::Generic)
                    && matches!(group.memory.access, Access::Load | Access::Store | Access::Copy)
                    && group.memory.bytes >= wide
            });
            global.map(|group| group.count * u64::from(group.memory.bytes)).sum()
        };
        let all = moved(1);
        (all > 0).then(|| moved(16) as f64 / all as f64)
    }
}
