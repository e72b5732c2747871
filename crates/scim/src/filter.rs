//! Filters (RFC 7644, section 3.4.2.2): the text becomes a [`Filter`], which knows the grammar
//! alone; with a resource type, that becomes a [`Resolved`] filter, which knows the schema.
//!
//! Beyond the grammar, `emails[type eq "work"].value eq "x"` means
//! `emails[type eq "work" and value eq "x"]`. Values without quotes are refused.

mod resolve;

use std::fmt;

use serde_json::{Number, Value};

use super::error::{ScimError, ScimType};
use super::keywords::keywords;
use super::schema::ResourceType;

pub use resolve::{Comparand, Resolved, date_time, resolve};
pub(super) use resolve::{boolean, resolve_within};

/// The longest filter, in bytes.
pub const MAX_LENGTH: usize = 8 * 1024;
/// The deepest nesting of parentheses and brackets.
pub const MAX_DEPTH: usize = 32;
/// The most comparisons and logical operators.
pub const MAX_NODES: usize = 512;

/// A filter as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of two or more.
    And(Vec<Filter>),
    /// Any of two or more.
    Or(Vec<Filter>),
    /// Not this one.
    Not(Box<Filter>),
    /// `pr`.
    Present(Name),
    /// A comparison.
    Compare(Name, Operator, Literal),
    /// `attribute[filter]`: the filter holds for one and the same value.
    ValuePath(Name, Box<Filter>),
}

/// The name of an attribute, as it was written. Names that differ in case or position are equal.
#[derive(Clone, Debug)]
pub struct Name {
    /// The text.
    pub text: String,
    /// The position of its first character, from 1.
    pub position: usize,
}

impl Name {
    fn error(&self, message: impl Into<String>) -> FilterError {
        FilterError {
            position: self.position,
            message: message.into(),
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text.eq_ignore_ascii_case(&other.text)
    }
}

keywords! {
    /// A comparison operator (RFC 7644, table 3).
    Operator {
        /// Equal.
        Eq = "eq",
        /// Not equal, or missing.
        Ne = "ne",
        /// Contains.
        Co = "co",
        /// Starts with.
        Sw = "sw",
        /// Ends with.
        Ew = "ew",
        /// Greater than.
        Gt = "gt",
        /// Greater than or equal to.
        Ge = "ge",
        /// Less than.
        Lt = "lt",
        /// Less than or equal to.
        Le = "le",
    }
}

impl Operator {
    fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|operator| operator.as_str().eq_ignore_ascii_case(word))
    }

    const fn is_equality(self) -> bool {
        matches!(self, Self::Eq | Self::Ne)
    }

    const fn is_for_text(self) -> bool {
        matches!(self, Self::Co | Self::Sw | Self::Ew)
    }
}

/// The value of a comparison, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A quoted string.
    String(String),
    /// A number.
    Number(Number),
    /// `true` or `false`.
    Boolean(bool),
    /// `null`.
    Null,
}

/// What is wrong with a filter, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// The character, from 1.
    pub position: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.position, self.message)
    }
}

impl std::error::Error for FilterError {}

impl From<FilterError> for ScimError {
    fn from(error: FilterError) -> Self {
        Self::bad_request(
            ScimType::InvalidFilter,
            format!("the filter is not valid {error}"),
        )
    }
}

/// Parses and resolves a filter.
///
/// # Errors
///
/// A 400 `invalidFilter` that says what is wrong and where.
pub fn compile(text: &str, resource_type: ResourceType) -> Result<Resolved, ScimError> {
    Ok(resolve(&parse(text)?, resource_type)?)
}

/// Parses a filter.
///
/// # Errors
///
/// The first place where the text leaves the grammar, or exceeds a limit.
pub fn parse(text: &str) -> Result<Filter, FilterError> {
    let mut parser = Parser::new(text)?;
    let filter = parser.filter()?;
    parser.skip_space();
    parser.end("expected \"and\", \"or\" or the end of the filter")?;
    Ok(filter)
}

/// `attribute[filter].sub`, of which only the attribute must be there: where a filter begins, and
/// the whole of a path (RFC 7644, figure 7).
#[derive(Debug)]
pub(super) struct Selector {
    pub(super) name: Name,
    pub(super) filter: Option<Filter>,
    pub(super) sub: Option<Name>,
}

/// Parses the path of an operation.
pub(super) fn parse_selector(text: &str) -> Result<Selector, FilterError> {
    let mut parser = Parser::new(text)?;
    parser.skip_space();
    let selector = parser.selector()?;
    parser.skip_space();
    parser.end("expected the end of the path")?;
    Ok(selector)
}

struct Parser<'a> {
    text: &'a str,
    /// The next byte.
    at: usize,
    depth: usize,
    nodes: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, FilterError> {
        let parser = Self {
            text,
            at: 0,
            depth: 0,
            nodes: 0,
        };
        if text.len() > MAX_LENGTH {
            return Err(parser.error(format!("longer than {MAX_LENGTH} bytes: shorten it")));
        }
        Ok(parser)
    }

    fn filter(&mut self) -> Result<Filter, FilterError> {
        let first = self.conjunction()?;
        self.chain(first, "or", Self::conjunction, Filter::Or)
    }

    fn conjunction(&mut self) -> Result<Filter, FilterError> {
        let first = self.term()?;
        self.chain(first, "and", Self::term, Filter::And)
    }

    /// `first`, and whatever `operator` joins to it.
    fn chain(
        &mut self,
        first: Filter,
        operator: &str,
        operand: fn(&mut Self) -> Result<Filter, FilterError>,
        join: fn(Vec<Filter>) -> Filter,
    ) -> Result<Filter, FilterError> {
        let mut operands = vec![first];
        while self.keyword(operator) {
            self.count_node()?;
            operands.push(operand(self)?);
        }
        match operands.pop() {
            Some(only) if operands.is_empty() => Ok(only),
            last => Ok(join(operands.into_iter().chain(last).collect())),
        }
    }

    fn term(&mut self) -> Result<Filter, FilterError> {
        self.skip_space();
        self.count_node()?;
        if self.eat('(') {
            return self.nested(')');
        }
        if self.keyword("not") {
            self.skip_space();
            if !self.eat('(') {
                return Err(self.error("\"not\" must be followed by a filter in parentheses"));
            }
            return Ok(Filter::Not(Box::new(self.nested(')')?)));
        }
        let Selector { name, filter, sub } = self.selector()?;
        match (filter, sub) {
            (None, _) => self.predicate(name),
            (Some(filter), None) => Ok(Filter::ValuePath(name, Box::new(filter))),
            (Some(filter), Some(sub)) => {
                let both = vec![filter, self.predicate(sub)?];
                Ok(Filter::ValuePath(name, Box::new(Filter::And(both))))
            }
        }
    }

    fn selector(&mut self) -> Result<Selector, FilterError> {
        let name = self.name()?;
        let filter = match self.eat('[') {
            true => Some(self.nested(']')?),
            false => None,
        };
        let sub = match filter.is_some() && self.eat('.') {
            true => Some(self.name()?),
            false => None,
        };
        Ok(Selector { name, filter, sub })
    }

    /// What follows the name of an attribute.
    fn predicate(&mut self, name: Name) -> Result<Filter, FilterError> {
        self.skip_space();
        let start = self.at;
        let word = self.take_while(|c| c.is_ascii_alphabetic());
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(name));
        }
        let Some(operator) = Operator::parse(word) else {
            self.at = start;
            return Err(self.error(
                "expected an operator after the attribute: eq, ne, co, sw, ew, gt, ge, lt, le or pr",
            ));
        };
        self.skip_space();
        Ok(Filter::Compare(name, operator, self.literal()?))
    }

    fn literal(&mut self) -> Result<Literal, FilterError> {
        if self.peek() == Some('"') {
            return self.string();
        }
        let start = self.at;
        let word = self.take_while(|c| !c.is_whitespace() && !"()[]\"".contains(c));
        let constants = [
            ("true", Literal::Boolean(true)),
            ("false", Literal::Boolean(false)),
            ("null", Literal::Null),
        ];
        for (name, literal) in constants {
            if name.eq_ignore_ascii_case(word) {
                return Ok(literal);
            }
        }
        serde_json::from_str(word)
            .map(Literal::Number)
            .map_err(|_| {
                self.at = start;
                self.error(
                    "expected a value: a string in double quotes, a number, true, false or null",
                )
            })
    }

    fn string(&mut self) -> Result<Literal, FilterError> {
        let mut escaped = false;
        let end = self.rest().char_indices().skip(1).find(|&(_, c)| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else {
            return Err(self.error("the string has no closing quote"));
        };
        let quoted = self.rest().get(..=end).unwrap_or_default();
        match serde_json::from_str::<String>(quoted) {
            Ok(text) if text.contains('\0') => {
                Err(self.error("the string must not contain the NUL character (U+0000)"))
            }
            Ok(text) => {
                self.at += quoted.len();
                Ok(Literal::String(text))
            }
            Err(_) => Err(self.error("the string is not a JSON string: escape \\ and \" with \\")),
        }
    }

    fn name(&mut self) -> Result<Name, FilterError> {
        let position = self.position();
        let starts = self
            .peek()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '$');
        if !starts {
            return Err(self.error("expected the name of an attribute"));
        }
        let text = self.take_while(|c| c.is_ascii_alphanumeric() || "-_.:$".contains(c));
        Ok(Name {
            text: text.to_owned(),
            position,
        })
    }

    /// A filter up to its closing bracket.
    fn nested(&mut self, close: char) -> Result<Filter, FilterError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("nested more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let filter = self.filter()?;
        self.depth -= 1;
        self.skip_space();
        match self.eat(close) {
            true => Ok(filter),
            false => Err(self.error(format!(
                "expected \"and\", \"or\" or {:?}",
                close.to_string()
            ))),
        }
    }

    fn count_node(&mut self) -> Result<(), FilterError> {
        self.nodes += 1;
        match self.nodes > MAX_NODES {
            true => Err(self.error(format!(
                "more than {MAX_NODES} expressions: split the filter"
            ))),
            false => Ok(()),
        }
    }

    /// Whether `word` comes next, alone; if so, it is skipped.
    fn keyword(&mut self, word: &str) -> bool {
        let start = self.at;
        self.skip_space();
        let next = self.take_while(|c| c.is_ascii_alphanumeric() || "-_.:$".contains(c));
        let found = next.eq_ignore_ascii_case(word);
        if !found {
            self.at = start;
        }
        found
    }

    fn end(&self, expected: &str) -> Result<(), FilterError> {
        match self.rest().is_empty() {
            true => Ok(()),
            false => Err(self.error(expected)),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, expected: char) -> bool {
        let next = self.peek() == Some(expected);
        if next {
            self.at += expected.len_utf8();
        }
        next
    }

    fn skip_space(&mut self) {
        self.take_while(char::is_whitespace);
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn position(&self) -> usize {
        let before = self.text.get(..self.at).unwrap_or_default();
        before.chars().count() + 1
    }

    fn error(&self, message: impl Into<String>) -> FilterError {
        FilterError {
            position: self.position(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(operands) => join(f, operands, " and "),
            Self::Or(operands) => join(f, operands, " or "),
            Self::Not(filter) => write!(f, "not ({filter})"),
            Self::Present(name) => write!(f, "{} pr", name.text),
            Self::Compare(name, operator, literal) => {
                write!(f, "{} {} {literal}", name.text, operator.as_str())
            }
            Self::ValuePath(name, filter) => write!(f, "{}[{filter}]", name.text),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, operands: &[Filter], operator: &str) -> fmt::Result {
    for (index, operand) in operands.iter().enumerate() {
        if index > 0 {
            f.write_str(operator)?;
        }
        match operand {
            Filter::And(_) | Filter::Or(_) => write!(f, "({operand})")?,
            _ => write!(f, "{operand}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => write!(f, "{}", Value::from(text.as_str())),
            Self::Number(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Null => f.write_str("null"),
        }
    }
}

#[cfg(test)]
mod tests;
