//! Operands.
use super::{MAX_DEPTH, cursor::Cursor, lexer::Kind};
use crate::{Operand, ParseError, ParseErrorKind};

/// The operands up to a sign that ends them, which is taken too.
pub fn list<'a>(cursor: &mut Cursor<'a, '_>, end: u8, depth: usize) -> Result<Vec<Operand<'a>>, ParseError> {
    if depth > MAX_DEPTH {
        return Err(cursor.error(ParseErrorKind::TooDeep(MAX_DEPTH)));
    }
    let mut operands = Vec::new();
    while !cursor.take(end) {
        // Empty places are allowed: `f, , x`.
        if !cursor.take(b',') {
            operands.push(operand(cursor, end, depth)?);
        }
    }
    Ok(operands)
}

fn operand<'a>(cursor: &mut Cursor<'a, '_>, end: u8, depth: usize) -> Result<Operand<'a>, ParseError> {
    let first = part(cursor, end, depth)?;
    if cursor.take(b'|') {
        return Ok(Operand::Pair(Box::new([first, part(cursor, end, depth)?])));
    }
    let mut parts = vec![first];
    skip_signs(cursor);
    while !cursor.at_sign(b',') && !cursor.at_sign(end) {
        parts.push(part(cursor, end, depth)?);
        skip_signs(cursor);
    }
    Ok(match parts.len() {
        1 => parts.remove(0),
        _ => Operand::Expression(parts),
    })
}

/// A part of an operand.
fn part<'a>(cursor: &mut Cursor<'a, '_>, end: u8, depth: usize) -> Result<Operand<'a>, ParseError> {
    skip_signs(cursor);
    let token = cursor.peek();
    match token.kind {
        Kind::String => {
            cursor.next();
            Ok(Operand::Immediate(cursor.text(token)))
        }
        Kind::Word => {
            cursor.next();
            Ok(word(cursor.text(token)))
        }
        Kind::Sign(b'-') => {
            cursor.next();
            let number = cursor.next();
            Ok(match word(cursor.text(number)) {
                Operand::Immediate(_) => Operand::Immediate(cursor.slice(token.start, number.end)),
                name => name,
            })
        }
        Kind::Sign(sign @ (b'{' | b'[' | b'(')) => {
            cursor.next();
            Ok(match sign {
                b'{' => Operand::Vector(list(cursor, b'}', depth + 1)?),
                b'[' => Operand::Address(list(cursor, b']', depth + 1)?),
                _ => Operand::List(list(cursor, b')', depth + 1)?),
            })
        }
        Kind::Sign(_) | Kind::End => Err(cursor.expected(match end {
            b';' => "an operand or `;`",
            b']' => "an operand or `]`",
            b')' => "an operand or `)`",
            _ => "an operand or `}`",
        })),
    }
}

fn word(text: &str) -> Operand<'_> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        Operand::Immediate(text)
    } else {
        Operand::Name(text)
    }
}

/// Skips signs that say nothing which is used: that of a sum, of a negation. The minus of a number stays.
fn skip_signs(cursor: &mut Cursor<'_, '_>) {
    while let Kind::Sign(sign) = cursor.peek().kind {
        let structure = b"{}[](),;|".contains(&sign);
        let minus = sign == b'-' && cursor.ahead(1).kind == Kind::Word;
        if structure || minus {
            break;
        }
        cursor.next();
    }
}
