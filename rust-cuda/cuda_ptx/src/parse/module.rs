//! What stands outside functions.
use std::collections::HashMap;

use super::{
    body::unknown,
    cursor::Cursor,
    lexer::{Kind, Token},
};
use crate::{Directive, Function, FunctionKind, Location, Module, ParseError, Place, Variable, lines::Sites};

/// The directives that declare variables.
pub const SPACES: &[&str] =
    &[".global", ".const", ".shared", ".local", ".param", ".tex", ".surf", ".sampler", ".sreg"];

/// Reads a module.
pub struct Parser<'a, 't> {
    pub cursor: Cursor<'a, 't>,
    module: Module<'a>,
    places: HashMap<Vec<Location>, u32>,
    pub sites: Sites,
}

impl<'a, 't> Parser<'a, 't> {
    /// For the tokens of a text.
    pub fn new(text: &'a str, tokens: &'t [Token]) -> Self {
        Self {
            cursor: Cursor::new(text, tokens),
            module: Module::default(),
            places: HashMap::new(),
            sites: Sites::of(text),
        }
    }

    /// Reads all of it.
    pub fn module(mut self) -> Result<Module<'a>, ParseError> {
        if self.cursor.peek_word() != Some(".version") {
            return Err(self.cursor.expected("`.version`, with which PTX begins"));
        }
        loop {
            let token = self.cursor.peek();
            match token.kind {
                Kind::End => break,
                Kind::Word => self.item(self.cursor.text(token))?,
                Kind::Sign(b';') => {
                    self.cursor.next();
                }
                _ => return Err(self.cursor.expected("a directive")),
            }
        }
        if self.module.targets.is_empty() {
            return Err(self.cursor.expected("`.target`, which names the architecture"));
        }
        Ok(self.module)
    }

    fn item(&mut self, word: &'a str) -> Result<(), ParseError> {
        match word {
            ".version" => self.version()?,
            ".target" => {
                self.cursor.next();
                loop {
                    let target = self.cursor.word("an architecture")?;
                    self.module.targets.push(target);
                    if !self.cursor.take(b',') {
                        break;
                    }
                }
            }
            ".address_size" => {
                self.cursor.next();
                self.module.address_size = Some(self.cursor.number("the size of an address")?);
            }
            ".file" => self.file()?,
            ".section" => self.section()?,
            ".visible" | ".extern" | ".weak" | ".common" | ".entry" | ".func" => self.symbol()?,
            _ if SPACES.contains(&word) => {
                let variables = self.variables(false)?;
                self.module.variables.extend(variables);
            }
            _ if word.starts_with('.') => {
                let directive = unknown(&mut self.cursor);
                self.module.directives.push(directive);
                // A block that belongs to it.
                if self.cursor.at_sign(b'{') {
                    self.skip_block()?;
                }
            }
            // `@@DWARF` of old compilers is a sign; a word without a dot is nothing that PTX has here.
            _ => return Err(self.cursor.expected("a directive")),
        }
        Ok(())
    }

    fn version(&mut self) -> Result<(), ParseError> {
        self.cursor.next();
        let version = self.cursor.peek_word().and_then(|word| word.split_once('.'));
        let Some((Ok(major), Ok(minor))) = version.map(|(major, minor)| (major.parse(), minor.parse()))
        else {
            return Err(self.cursor.expected("a version such as 8.0"));
        };
        self.cursor.next();
        self.module.version = (major, minor);
        Ok(())
    }

    /// `.file 1 "name"`, perhaps with a time and a size.
    pub fn file(&mut self) -> Result<(), ParseError> {
        self.cursor.next();
        let number = self.cursor.number("the number of a file")?;
        let name = self.cursor.peek();
        if name.kind != Kind::String {
            return Err(self.cursor.expected("a file's name in quotes"));
        }
        self.cursor.next();
        self.module.files.insert(number, self.cursor.text(name).trim_matches('"'));
        while self.cursor.take(b',') {
            self.cursor.next();
        }
        Ok(())
    }

    /// `.section .debug_info { … }`: what it holds is not read.
    pub fn section(&mut self) -> Result<(), ParseError> {
        self.cursor.next();
        self.cursor.word("the name of a section")?;
        self.skip_block()
    }

    fn skip_block(&mut self) -> Result<(), ParseError> {
        self.cursor.expect(b'{', "`{`")?;
        let mut depth = 1;
        while depth > 0 {
            match self.cursor.next().kind {
                Kind::Sign(b'{') => depth += 1,
                Kind::Sign(b'}') => depth -= 1,
                Kind::End => return Err(self.cursor.expected("`}`")),
                _ => {}
            }
        }
        Ok(())
    }

    /// A function or variable that may have a linkage.
    fn symbol(&mut self) -> Result<(), ParseError> {
        let mut linkage = Vec::new();
        loop {
            match self.cursor.peek_word() {
                Some(word @ (".visible" | ".extern" | ".weak" | ".common")) => {
                    self.cursor.next();
                    linkage.push(&word[1..]);
                }
                Some(".entry") => {
                    let function = self.function(FunctionKind::Entry, linkage)?;
                    self.module.functions.push(function);
                    return Ok(());
                }
                Some(".func") => {
                    let function = self.function(FunctionKind::Device, linkage)?;
                    self.module.functions.push(function);
                    return Ok(());
                }
                Some(word) if SPACES.contains(&word) => {
                    let variables = self.variables(linkage.contains(&"extern"))?;
                    self.module.variables.extend(variables);
                    return Ok(());
                }
                _ => return Err(self.cursor.expected("`.entry`, `.func` or a variable")),
            }
        }
    }

    fn function(&mut self, kind: FunctionKind, linkage: Vec<&'a str>) -> Result<Function<'a>, ParseError> {
        self.cursor.next();
        self.attributes()?;
        let returns = if self.cursor.at_sign(b'(') { self.parameters()? } else { Vec::new() };
        let line = self.cursor.peek().line;
        let name = self.cursor.word("the name of a function")?;
        let params = if self.cursor.at_sign(b'(') { self.parameters()? } else { Vec::new() };
        let mut directives: Vec<Directive<'a>> = Vec::new();
        let body = loop {
            let token = self.cursor.peek();
            match token.kind {
                Kind::Sign(b'{') => break Some(self.body()?),
                Kind::Sign(b';') => {
                    self.cursor.next();
                    break None;
                }
                Kind::Word => {
                    let text = self.cursor.text(token);
                    match directives.last_mut() {
                        _ if text.starts_with('.') => {
                            directives.push(Directive {
                                name: text,
                                arguments: Vec::new(),
                                line: token.line,
                            });
                        }
                        Some(directive) => directive.arguments.push(text),
                        None => return Err(self.cursor.expected("`{`, `;` or a directive")),
                    }
                    self.cursor.next();
                }
                Kind::String => {
                    let text = self.cursor.text(token);
                    self.cursor.next();
                    if let Some(directive) = directives.last_mut() {
                        directive.arguments.push(text);
                    }
                }
                Kind::Sign(b',' | b'(' | b')') => {
                    self.cursor.next();
                }
                _ => return Err(self.cursor.expected("`{`, `;` or a directive")),
            }
        };
        Ok(Function { name, kind, linkage, returns, params, directives, body, line })
    }

    /// `.attribute(.unified(1, 2))`.
    fn attributes(&mut self) -> Result<(), ParseError> {
        while self.cursor.peek_word() == Some(".attribute") {
            self.cursor.next();
            self.cursor.expect(b'(', "`(`")?;
            let mut depth = 1;
            while depth > 0 {
                match self.cursor.next().kind {
                    Kind::Sign(b'(') => depth += 1,
                    Kind::Sign(b')') => depth -= 1,
                    Kind::End => return Err(self.cursor.expected("`)`")),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn parameters(&mut self) -> Result<Vec<Variable<'a>>, ParseError> {
        self.cursor.expect(b'(', "`(`")?;
        let mut parameters = Vec::new();
        while !self.cursor.take(b')') {
            let space = match self.cursor.peek_word() {
                Some(word @ (".param" | ".reg")) => word,
                _ => return Err(self.cursor.expected("`.param` or `)`")),
            };
            self.cursor.next();
            let shape = Shape { space: &space[1..], ..self.shape()? };
            parameters.push(self.declarator(shape, false)?);
            if !self.cursor.at_sign(b')') {
                self.cursor.expect(b',', "`,` or `)`")?;
            }
        }
        Ok(parameters)
    }

    /// The variables of one declaration, of which the state space is next.
    pub fn variables(&mut self, external: bool) -> Result<Vec<Variable<'a>>, ParseError> {
        let space = self.cursor.word("a state space")?;
        let shape = Shape { space: &space[1..], ..self.shape()? };
        let mut variables = Vec::new();
        loop {
            variables.push(self.declarator(shape, external)?);
            if self.cursor.take(b';') {
                return Ok(variables);
            }
            self.cursor.expect(b',', "`,` or `;`")?;
        }
    }

    /// Alignment, vector and type.
    fn shape(&mut self) -> Result<Shape<'a>, ParseError> {
        let mut shape = Shape { space: "", ty: "", lanes: 1, align: None };
        self.attributes()?;
        while let Some(word) = self.cursor.peek_word().filter(|word| word.starts_with('.')) {
            self.cursor.next();
            match word {
                ".align" => shape.align = Some(self.cursor.number("an alignment")?),
                ".v2" => shape.lanes = 2,
                ".v4" => shape.lanes = 4,
                ".v8" => shape.lanes = 8,
                // What a pointer parameter points to.
                ".ptr" | ".global" | ".const" | ".shared" | ".local" | ".param" => {}
                _ => shape.ty = &word[1..],
            }
            self.attributes()?;
        }
        Ok(shape)
    }

    /// A name, its dimensions, and its initial value, which is not kept.
    fn declarator(&mut self, shape: Shape<'a>, external: bool) -> Result<Variable<'a>, ParseError> {
        let line = self.cursor.peek().line;
        let name = self.cursor.word("a name")?;
        if self.cursor.take(b'<') {
            self.cursor.number("a number of variables")?;
            self.cursor.expect(b'>', "`>`")?;
        }
        let mut elements = None;
        while self.cursor.take(b'[') {
            let size = match self.cursor.at_sign(b']') {
                true => 0,
                false => u64::from(self.cursor.number("the size of an array or `]`")?),
            };
            self.cursor.expect(b']', "`]`")?;
            elements = Some(elements.unwrap_or(1u64).saturating_mul(size));
        }
        if self.cursor.take(b'=') {
            self.initialiser()?;
        }
        let Shape { space, ty, lanes, align } = shape;
        Ok(Variable { name, space, ty, lanes, align, elements, external, line })
    }

    /// Up to the `,` or `;` after a value.
    fn initialiser(&mut self) -> Result<(), ParseError> {
        let mut depth = 0u32;
        loop {
            match self.cursor.peek().kind {
                Kind::Sign(b',' | b';') if depth == 0 => return Ok(()),
                Kind::Sign(b'{' | b'(' | b'[') => depth += 1,
                Kind::Sign(b'}' | b')' | b']') if depth > 0 => depth -= 1,
                Kind::Sign(b'}' | b')' | b']') | Kind::End => {
                    return Err(self.cursor.expected("a value, then `,` or `;`"));
                }
                _ => {}
            }
            self.cursor.next();
        }
    }

    /// The number of a place, which is new or not.
    pub fn place(&mut self, chain: Vec<Location>) -> u32 {
        if let Some(found) = self.places.get(&chain) {
            return *found;
        }
        let number = u32::try_from(self.module.places.len()).unwrap_or(u32::MAX);
        self.module.places.push(Place(chain.clone()));
        self.places.insert(chain, number);
        number
    }
}

/// What the names of one declaration share.
#[derive(Clone, Copy)]
struct Shape<'a> {
    space: &'a str,
    ty: &'a str,
    lanes: u32,
    align: Option<u32>,
}
