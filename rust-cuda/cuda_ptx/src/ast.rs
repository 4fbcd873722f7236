//! What a PTX text says. Everything borrows from the text.
use std::collections::BTreeMap;

/// A PTX text.
#[derive(Debug, Clone, Default)]
pub struct Module<'a> {
    /// `.version`: `(8, 0)`.
    pub version: (u32, u32),
    /// `.target`: the architecture first.
    pub targets: Vec<&'a str>,
    /// `.address_size`.
    pub address_size: Option<u32>,
    /// `.file`, by number.
    pub files: BTreeMap<u32, &'a str>,
    /// The variables outside functions.
    pub variables: Vec<Variable<'a>>,
    /// Functions that are defined or declared, in order.
    pub functions: Vec<Function<'a>>,
    /// Other directives: `.pragma`, `.alias`, and those that are not known.
    pub directives: Vec<Directive<'a>>,
    /// The places in the source that instructions come from.
    pub places: Vec<Place>,
}

/// A place in the source, and the places that it was inlined to, the innermost first. Never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Place(pub Vec<Location>);

/// A position in a source file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The number of a `.file`.
    pub file: u32,
    /// The line, from 1; 0 is none.
    pub line: u32,
    /// The column, from 1; 0 is none.
    pub column: u32,
}

/// Whether a function is a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    /// `.entry`: a kernel.
    Entry,
    /// `.func`: called on the device.
    Device,
}

/// An entry or a function.
#[derive(Debug, Clone)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it is a kernel.
    pub kind: FunctionKind,
    /// `.visible`, `.weak`, `.extern`, without the dot.
    pub linkage: Vec<&'a str>,
    /// What it returns.
    pub returns: Vec<Variable<'a>>,
    /// Its parameters.
    pub params: Vec<Variable<'a>>,
    /// `.maxntid` and the like.
    pub directives: Vec<Directive<'a>>,
    /// Its code; a declaration has none.
    pub body: Option<Body<'a>>,
    /// The line of its name.
    pub line: u32,
}

impl Function<'_> {
    /// The numbers after a directive: `[256, 1, 1]` for `.maxntid 256, 1, 1`.
    pub fn numbers(&self, directive: &str) -> Option<Vec<u32>> {
        let found = self.directives.iter().find(|found| found.name == directive)?;
        found.arguments.iter().map(|argument| argument.parse().ok()).collect()
    }

    /// Whether it is declared never to return.
    pub fn never_returns(&self) -> bool {
        self.directives.iter().any(|directive| directive.name == ".noreturn")
    }
}

/// A directive with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive<'a> {
    /// With the dot.
    pub name: &'a str,
    /// The words after it.
    pub arguments: Vec<&'a str>,
    /// Its line.
    pub line: u32,
}

/// A variable or parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// The state space, without the dot: `shared`.
    pub space: &'a str,
    /// The type, without the dot: `u32`.
    pub ty: &'a str,
    /// The elements of a vector, 1 if it is none.
    pub lanes: u32,
    /// The alignment that is asked for.
    pub align: Option<u32>,
    /// The elements of an array, `None` if it is none. An array without a size has 0.
    pub elements: Option<u64>,
    /// `.extern`: defined, or given its size, elsewhere.
    pub external: bool,
    /// Its line.
    pub line: u32,
}

impl Variable<'_> {
    /// Its bytes, 0 where the type has no size that is known.
    pub fn bytes(&self) -> u64 {
        let element = u64::from(crate::class::type_bytes(self.ty).unwrap_or(0));
        element.saturating_mul(self.lanes.into()).saturating_mul(self.elements.unwrap_or(1))
    }

    /// Whether it is the shared memory whose size a launch gives.
    pub fn is_dynamic_shared(&self) -> bool {
        self.space == "shared" && self.external && self.elements == Some(0)
    }
}

/// The code of a function.
#[derive(Debug, Clone, Default)]
pub struct Body<'a> {
    /// In order, scopes flattened.
    pub statements: Vec<Statement<'a>>,
    /// The lines of its braces.
    pub lines: (u32, u32),
}

impl<'a> Body<'a> {
    /// The instructions, in order.
    pub fn instructions(&self) -> impl Iterator<Item = &Instruction<'a>> {
        self.statements.iter().filter_map(|statement| match statement {
            Statement::Instruction(instruction) => Some(instruction),
            _ => None,
        })
    }
}

/// A part of a body.
#[derive(Debug, Clone)]
pub enum Statement<'a> {
    /// `{`, which begins a scope.
    Open,
    /// `}`, which ends one.
    Close,
    /// A label.
    Label(&'a str),
    /// An instruction.
    Instruction(Instruction<'a>),
    /// `.reg`.
    Registers(Registers<'a>),
    /// Another variable.
    Variable(Variable<'a>),
    /// `.branchtargets` and the like.
    Table(Table<'a>),
    /// `.pragma` and directives that are not known.
    Directive(Directive<'a>),
}

/// Registers of one type.
#[derive(Debug, Clone)]
pub struct Registers<'a> {
    /// The type, without the dot.
    pub ty: &'a str,
    /// Each a name, and how many it stands for when it is a range: `%r<5>`.
    pub names: Vec<(&'a str, Option<u32>)>,
}

/// A list of labels or functions that has a name.
#[derive(Debug, Clone)]
pub struct Table<'a> {
    /// The label before it.
    pub name: &'a str,
    /// `.branchtargets`, `.calltargets` or `.callprototype`.
    pub kind: &'a str,
    /// What it lists.
    pub targets: Vec<&'a str>,
}

/// The predicate before an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard<'a> {
    /// The register.
    pub register: &'a str,
    /// `@!p`.
    pub negated: bool,
}

/// An instruction.
#[derive(Debug, Clone)]
pub struct Instruction<'a> {
    /// `@p`.
    pub guard: Option<Guard<'a>>,
    /// With everything that dots join to it: `ld.global.nc.v4.u32`.
    pub opcode: &'a str,
    /// Its operands.
    pub operands: Vec<Operand<'a>>,
    /// Its line in the text.
    pub line: u32,
    /// Which of the module's places it comes from.
    pub place: Option<u32>,
}

impl<'a> Instruction<'a> {
    /// The part of the opcode before the first dot.
    pub fn base(&self) -> &'a str {
        self.opcode.split('.').next().unwrap_or_default().trim()
    }

    /// The parts after it.
    pub fn modifiers(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.opcode.split('.').skip(1).map(str::trim)
    }

    /// Whether a part of the opcode is this.
    pub fn has(&self, modifier: &str) -> bool {
        self.modifiers().any(|found| found == modifier)
    }
}

/// An operand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand<'a> {
    /// A register, a special register, a variable or a label.
    Name(&'a str),
    /// A number or a string.
    Immediate(&'a str),
    /// `{a, b}`.
    Vector(Vec<Operand<'a>>),
    /// `[a+4]`, `[map, {x, y}]`.
    Address(Vec<Operand<'a>>),
    /// `(a, b)`.
    List(Vec<Operand<'a>>),
    /// `p|q`.
    Pair(Box<[Operand<'a>; 2]>),
    /// `!p`, `a+4`, and what else has parts.
    Expression(Vec<Operand<'a>>),
}

impl<'a> Operand<'a> {
    /// Every name in it.
    pub fn names(&self, found: &mut Vec<&'a str>) {
        match self {
            Self::Name(name) => found.push(name),
            Self::Immediate(_) => {}
            Self::Vector(parts) | Self::Address(parts) | Self::List(parts) | Self::Expression(parts) => {
                parts.iter().for_each(|part| part.names(found));
            }
            Self::Pair(parts) => parts.iter().for_each(|part| part.names(found)),
        }
    }

    /// The number that it is.
    pub fn number(&self) -> Option<i64> {
        let Self::Immediate(text) = self else { return None };
        let (negative, text) =
            text.strip_prefix('-').map_or((false, *text), |rest| (true, rest.trim_start()));
        let text = text.trim_end_matches('U');
        let (digits, radix) = match text.get(..2) {
            Some("0x" | "0X") => (&text[2..], 16),
            Some("0b" | "0B") => (&text[2..], 2),
            _ => (text, 10),
        };
        let magnitude = i64::from_str_radix(digits, radix).ok()?;
        Some(if negative { -magnitude } else { magnitude })
    }
}
