//! The text of a part of an expression.
//!
//! The parser keeps one token's place for each node: of `a.b && c`, that of `&&`. The text of a node
//! goes from the first to the last token in it, and on to the ends of all brackets that it opens or
//! closes. Places are in bytes.

use std::collections::BTreeSet;
use std::ops::Range;

use cel::Program;
use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use super::named::children;

/// The text of an expression, in tokens.
pub(super) struct Source<'a> {
    program: &'a Program,
    bytes: &'a [u8],
    tokens: Vec<Range<usize>>,
    /// Tokens that open a bracket, each with the one that closes it.
    brackets: Vec<(usize, usize)>,
}

impl<'a> Source<'a> {
    pub(super) fn new(program: &'a Program) -> Self {
        let bytes = program.source_info().source.as_bytes();
        let tokens = tokens(bytes);
        let (mut open, mut brackets) = (vec![], vec![]);
        for (index, token) in tokens.iter().enumerate() {
            match bytes[token.start] {
                b'(' | b'[' | b'{' => open.push(index),
                b')' | b']' | b'}' => brackets.extend(open.pop().map(|start| (start, index))),
                _ => (),
            }
        }
        Self {
            program,
            bytes,
            tokens,
            brackets,
        }
    }

    /// The text of a part, with one space for each comment or line break.
    pub(super) fn text(&self, part: &IdedExpr) -> String {
        let (first, last) = match self.extent(part) {
            Some(extent) => extent,
            None => (0, self.tokens.len().saturating_sub(1)),
        };
        let tokens = self.tokens.get(first..=last).unwrap_or_default();
        let mut text = vec![];
        let mut end = tokens.first().map_or(0, |token| token.start);
        for token in tokens {
            if token.start > end {
                text.push(b' ');
            }
            text.extend_from_slice(&self.bytes[token.clone()]);
            end = token.end;
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The first and the last token.
    fn extent(&self, part: &IdedExpr) -> Option<(usize, usize)> {
        let own = self.token(part)?;
        let (mut first, mut last) = (own, own);
        for child in children(part) {
            let (child_first, child_last) = self.extent(child)?;
            first = first.min(child_first);
            last = last.max(child_last);
        }
        match &part.expr {
            // `has(` and `size(`: the parser has the bracket, the name is before it.
            Expr::Select(select) if select.test => first = first.min(own.checked_sub(1)?),
            Expr::Call(call)
                if call.target.is_none() && self.bytes[self.tokens[own].start] == b'(' =>
            {
                first = first.min(own.checked_sub(1)?);
            }
            Expr::Select(_) => last = last.max(own + 1),
            Expr::Literal(literal) if is_negative(literal) => first = own.checked_sub(1)?,
            _ => (),
        }
        loop {
            let before = (first, last);
            for &(open, close) in &self.brackets {
                let within = first..=last;
                match (within.contains(&open), within.contains(&close)) {
                    (true, false) => last = close,
                    (false, true) => first = open,
                    _ => (),
                }
            }
            if (first, last) == before {
                return (last < self.tokens.len()).then_some((first, last));
            }
        }
    }

    fn token(&self, part: &IdedExpr) -> Option<usize> {
        let (start, _) = self.program.source_info().offset_for(part.id)?;
        let start = usize::try_from(start).ok()?;
        self.tokens.iter().position(|token| token.start == start)
    }
}

fn is_negative(literal: &LiteralValue) -> bool {
    match literal {
        LiteralValue::Int(int) => *int.inner() < 0,
        LiteralValue::Double(double) => double.inner().is_sign_negative(),
        _ => false,
    }
}

/// Splits an expression that parses into its tokens.
fn tokens(text: &[u8]) -> Vec<Range<usize>> {
    let mut tokens = vec![];
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        // Form feed is in both.
        if rest[0].is_ascii_whitespace() {
            at += 1;
        } else if rest.starts_with(b"//") {
            at += count(rest, |c| c != b'\n');
        } else {
            let length = length(rest);
            tokens.push(at..at + length);
            at += length;
        }
    }
    tokens
}

/// The length of the token that a text starts with.
fn length(text: &[u8]) -> usize {
    let is_digit = |index: usize| text.get(index).is_some_and(u8::is_ascii_digit);
    if let Some(length) = string(text) {
        length
    } else if is_digit(0) || text[0] == b'.' && is_digit(1) {
        number(text)
    } else if is_word(text[0]) {
        count(text, is_word)
    } else {
        let pairs: [&[u8]; 6] = [b"&&", b"||", b"==", b"!=", b"<=", b">="];
        if pairs.iter().any(|pair| text.starts_with(pair)) {
            2
        } else {
            1
        }
    }
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_'
}

fn count(text: &[u8], is: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|&&c| is(c)).count()
}

/// The length of the number that a text starts with: `1`, `0x1F`, `2u`, `1.5e-3`.
fn number(text: &[u8]) -> usize {
    let is_decimal = !text.starts_with(b"0x");
    let mut length = 0;
    while let Some(&c) = text.get(length) {
        let is_fraction = c == b'.' && text.get(length + 1).is_some_and(u8::is_ascii_digit);
        let is_sign =
            matches!(c, b'+' | b'-') && length > 0 && matches!(text[length - 1], b'e' | b'E');
        if !(is_word(c) || is_decimal && (is_fraction || is_sign)) {
            break;
        }
        length += 1;
    }
    length
}

/// The length of the string or bytes literal that a text starts with.
fn string(text: &[u8]) -> Option<usize> {
    let prefix = count(text, |c| matches!(c, b'r' | b'R' | b'b' | b'B'));
    let is_raw = text[..prefix].iter().any(|c| matches!(c, b'r' | b'R'));
    let quote = *text.get(prefix).filter(|c| matches!(c, b'"' | b'\''))?;
    let triple = [quote; 3];
    let end = if text[prefix..].starts_with(&triple) {
        &triple[..]
    } else {
        &triple[..1]
    };
    let mut at = prefix + end.len();
    while !text.get(at..)?.starts_with(end) {
        let is_escape = !is_raw && text[at..].starts_with(b"\\");
        at += if is_escape { 2 } else { 1 };
    }
    Some(at + end.len())
}

/// The names and texts that a part of an expression has.
pub(super) fn words(part: &IdedExpr, words: &mut BTreeSet<String>) {
    if let Expr::Select(select) = &part.expr {
        words.insert(select.field.clone());
    }
    words.extend(super::named::literal(part).map(str::to_owned));
    for child in children(part) {
        self::words(child, words);
    }
    if let Expr::Comprehension(c) = &part.expr {
        self::words(&c.loop_step, words);
    }
}
