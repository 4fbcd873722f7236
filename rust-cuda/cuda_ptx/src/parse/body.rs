//! What stands between the braces of a function.
use super::{MAX_DEPTH, cursor::Cursor, lexer::Kind, module::Parser, operand};
use crate::{Body, Directive, Guard, Instruction, ParseError, ParseErrorKind, Registers, Statement, Table};

impl<'a> Parser<'a, '_> {
    /// The body, of which the brace is next.
    pub fn body(&mut self) -> Result<Body<'a>, ParseError> {
        let first = self.cursor.expect(b'{', "`{`")?.line;
        let mut statements = Vec::new();
        let mut depth = 0;
        let mut place = None;
        loop {
            let token = self.cursor.peek();
            match token.kind {
                Kind::End => return Err(self.cursor.expected("a statement or `}`")),
                Kind::Sign(b'}') => {
                    self.cursor.next();
                    if depth == 0 {
                        return Ok(Body { statements, lines: (first, token.line) });
                    }
                    depth -= 1;
                    statements.push(Statement::Close);
                }
                Kind::Sign(b'{') => {
                    self.cursor.next();
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return Err(self.cursor.error(ParseErrorKind::TooDeep(MAX_DEPTH)));
                    }
                    statements.push(Statement::Open);
                }
                Kind::Sign(b';') => {
                    self.cursor.next();
                }
                Kind::Sign(b'@') => statements.push(Statement::Instruction(self.instruction(place)?)),
                Kind::Word => match self.cursor.text(token) {
                    ".loc" => place = Some(self.location()?),
                    word if word.starts_with('.') => self.directive(word, &mut statements)?,
                    word if self.cursor.ahead(1).kind == Kind::Sign(b':') => {
                        self.cursor.next();
                        self.cursor.next();
                        statements.push(self.labelled(word)?);
                    }
                    _ => statements.push(Statement::Instruction(self.instruction(place)?)),
                },
                _ => return Err(self.cursor.expected("a statement or `}`")),
            }
        }
    }

    /// What a label names: a place in the code, or a table.
    fn labelled(&mut self, name: &'a str) -> Result<Statement<'a>, ParseError> {
        let Some(kind @ (".branchtargets" | ".calltargets" | ".callprototype")) = self.cursor.peek_word()
        else {
            return Ok(Statement::Label(name));
        };
        self.cursor.next();
        let mut targets = Vec::new();
        for operand in operand::list(&mut self.cursor, b';', 0)? {
            operand.names(&mut targets);
        }
        Ok(Statement::Table(Table { name, kind, targets }))
    }

    fn directive(&mut self, word: &'a str, statements: &mut Vec<Statement<'a>>) -> Result<(), ParseError> {
        match word {
            ".reg" => statements.push(Statement::Registers(self.registers()?)),
            ".file" => self.file()?,
            ".section" => self.section()?,
            _ if super::module::SPACES.contains(&word) => {
                statements.extend(self.variables(false)?.into_iter().map(Statement::Variable));
            }
            _ => {
                let directive = unknown(&mut self.cursor);
                statements.push(Statement::Directive(directive));
            }
        }
        Ok(())
    }

    fn registers(&mut self) -> Result<Registers<'a>, ParseError> {
        self.cursor.next();
        let mut ty = "";
        while let Some(word) = self.cursor.peek_word().filter(|word| word.starts_with('.')) {
            self.cursor.next();
            // The type comes last, after `.v2`.
            ty = &word[1..];
        }
        let mut names = Vec::new();
        loop {
            let name = self.cursor.word("the name of a register")?;
            let mut count = None;
            if self.cursor.take(b'<') {
                count = Some(self.cursor.number("the number of registers")?);
                self.cursor.expect(b'>', "`>`")?;
            }
            names.push((name, count));
            if self.cursor.take(b';') {
                return Ok(Registers { ty, names });
            }
            self.cursor.expect(b',', "`,` or `;`")?;
        }
    }

    /// `.loc`, which ends with its line or with where it was inlined to. Its number among the module's places.
    fn location(&mut self) -> Result<u32, ParseError> {
        let word = self.cursor.next();
        let file = self.cursor.number("the number of a file")?;
        let line = self.cursor.number("a line")?;
        let column = self.cursor.number("a column")?;
        let mut chain = vec![crate::Location { file, line, column }];
        // Names of functions are not used.
        while self.cursor.at_sign(b',') {
            self.cursor.next();
            match self.cursor.word("`function_name` or `inlined_at`")? {
                "inlined_at" => chain.push(crate::Location {
                    file: self.cursor.number("the number of a file")?,
                    line: self.cursor.number("a line")?,
                    column: self.cursor.number("a column")?,
                }),
                _ => {
                    self.cursor.next();
                    if self.cursor.take(b'+') {
                        self.cursor.next();
                    }
                }
            }
        }
        if let Some((_, comment)) = self.cursor.rest_of_line(word).split_once("//") {
            chain.extend(self.sites.chain(comment));
        }
        Ok(self.place(chain))
    }

    fn instruction(&mut self, place: Option<u32>) -> Result<Instruction<'a>, ParseError> {
        let line = self.cursor.peek().line;
        let guard = if self.cursor.take(b'@') {
            let negated = self.cursor.take(b'!');
            Some(Guard { register: self.cursor.word("a predicate")?, negated })
        } else {
            None
        };
        let first = self.cursor.peek();
        self.cursor.word("an instruction")?;
        let mut end = first.end;
        // Parts of an opcode may stand apart.
        while let Some(word) = self.cursor.peek_word().filter(|word| word.starts_with('.')) {
            end = self.cursor.next().start + word.len();
        }
        let opcode = self.cursor.slice(first.start, end);
        let operands = operand::list(&mut self.cursor, b';', 0)?;
        Ok(Instruction { guard, opcode, operands, line, place })
    }
}

/// A directive that is not known: up to its `;`, or else its line.
pub fn unknown<'a>(cursor: &mut Cursor<'a, '_>) -> Directive<'a> {
    let name = cursor.next();
    let mut arguments = Vec::new();
    loop {
        let token = cursor.peek();
        match token.kind {
            Kind::Sign(b';') => {
                cursor.next();
                break;
            }
            Kind::Word | Kind::String if token.line == name.line => arguments.push(cursor.text(token)),
            Kind::Sign(b'{' | b'}') | Kind::End => break,
            _ if token.line != name.line => break,
            _ => {}
        }
        cursor.next();
    }
    Directive { name: cursor.text(name), arguments, line: name.line }
}
