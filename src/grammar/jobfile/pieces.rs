//! The individual tasks of a job file, one after the other.
//!
//! A parsed document takes forty times its text. A long job file is a list of `[[task]]` tables, each of which is a
//! document of its own, so only one of them is parsed at a time.
//!
//! Holds: what is read is what the whole document says; one of another form is parsed as a whole. Places count from
//! the beginning of the file.

use super::error::Mistake;
use super::item::Item;
use hq_core::limits;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

/// The key whose tables are pieces.
pub(super) const KEY: &str = "task";
/// Tokens that tell what an expression is.
const HEAD_TOKENS: usize = 4;

/// A document cut before each `[[task]]`.
pub(super) struct Pieces<'a> {
    text: &'a str,
    /// Where each piece begins.
    starts: Vec<usize>,
    /// Tokens of the whole text.
    tokens: usize,
}

/// What an expression of TOML, which ends with a line outside brackets, begins.
enum Expression {
    /// A table of an individual task.
    Task,
    /// A table within the last one of these.
    PartOfTask,
    /// Any other table.
    Table,
    /// Nothing: it is a key with its value, or empty.
    Value,
}

impl<'a> Pieces<'a> {
    /// Cuts the text; there are no pieces if a table of another kind follows one of them, or brackets do not match.
    ///
    /// # Errors
    /// A part that is too long to be parsed at once.
    pub(super) fn cut(text: &'a str) -> Result<Self, Mistake> {
        let mut cutter = Cutter { text, depth: 0, head: [""; HEAD_TOKENS], filled: 0, begin: None };
        let mut pieces = Self { text, starts: Vec::new(), tokens: 0 };
        let (mut is_list, mut before, mut longest) = (true, 0, 0);
        for token in Source::new(text).lex() {
            pieces.tokens += 1;
            let Some((start, expression)) = cutter.take(&token) else { continue };
            match expression {
                Expression::Task => {
                    longest = longest.max(pieces.tokens - before);
                    before = pieces.tokens;
                    pieces.starts.push(start);
                }
                Expression::PartOfTask => is_list &= !pieces.starts.is_empty(),
                Expression::Table => is_list &= pieces.starts.is_empty(),
                Expression::Value => {}
            }
        }
        longest = longest.max(pieces.tokens - before);
        if is_list && cutter.depth == 0 {
            pieces.check_length(longest)?;
            return Ok(pieces);
        }
        pieces.whole()
    }

    /// The same text without cuts.
    ///
    /// # Errors
    /// As [`Pieces::cut`].
    pub(super) fn whole(mut self) -> Result<Self, Mistake> {
        self.starts.clear();
        self.check_length(self.tokens)?;
        Ok(self)
    }

    fn check_length(&self, tokens: usize) -> Result<(), Mistake> {
        let max = limits::JOB_FILE_PART_TOKENS_MAX;
        if tokens <= max {
            return Ok(());
        }
        let reason = format!(
            "a part of the file has {tokens} words and signs, at most {max} are allowed; write each task under \
             `[[task]]`, or submit it in parts"
        );
        Err(Mistake { bytes: 0..0, key: String::new(), reason })
    }

    /// How many pieces there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// A mistake of the list of pieces.
    pub(super) fn mistake(&self, reason: String) -> Mistake {
        let start = self.starts.first().copied().unwrap_or_default();
        Mistake { bytes: start..start + KEY.len() + 4, key: KEY.to_owned(), reason }
    }

    /// What stands before the first piece.
    ///
    /// # Errors
    /// No TOML.
    pub(super) fn head(&self) -> Result<Spanned<DeValue<'a>>, Mistake> {
        let end = self.starts.first().copied().unwrap_or(self.text.len());
        parse(self.text.get(..end).unwrap_or_default())
    }

    /// Parses one piece and has its task read.
    ///
    /// # Errors
    /// No TOML, and what `read` refuses.
    pub(super) fn read<T>(
        &self,
        number: usize,
        read: impl FnOnce(&Item<'_>) -> Result<T, Mistake>,
    ) -> Result<T, Mistake> {
        let start = self.starts.get(number).copied().unwrap_or(self.text.len());
        let end = self.starts.get(number + 1).copied().unwrap_or(self.text.len());
        let in_piece = || {
            let document = parse(self.text.get(start..end).unwrap_or_default())?;
            let root = Item::root(&document);
            let fields = root.fields(&[&[KEY]])?;
            let tasks = fields.need(KEY)?;
            let task = tasks.only_element_as(number)?;
            read(&task)
        };
        in_piece().map_err(|mistake| mistake.shifted(start))
    }
}

/// Parses a document.
fn parse(text: &str) -> Result<Spanned<DeValue<'_>>, Mistake> {
    let table = DeTable::parse(text).map_err(|error| {
        let bytes = error.span().unwrap_or(0..0);
        Mistake { bytes, key: String::new(), reason: error.message().to_owned() }
    })?;
    Ok(Spanned::new(table.span(), DeValue::Table(table.into_inner())))
}

/// Tells expressions apart by their first tokens.
struct Cutter<'a> {
    text: &'a str,
    /// Open brackets; below zero for good once there were too many closing ones.
    depth: i64,
    head: [&'a str; HEAD_TOKENS],
    filled: usize,
    /// Where the expression begins.
    begin: Option<usize>,
}

impl Cutter<'_> {
    /// Takes the next token; at the end of an expression, says where it began and what it is.
    fn take(&mut self, token: &Token) -> Option<(usize, Expression)> {
        let span = token.span();
        match token.kind() {
            TokenKind::Whitespace | TokenKind::Comment => return None,
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket if self.depth >= 0 => self.depth += 1,
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket if self.depth >= 0 => self.depth -= 1,
            TokenKind::Newline if self.depth > 0 => return None,
            TokenKind::Newline | TokenKind::Eof => {
                let expression = self.expression();
                self.filled = 0;
                return Some((self.begin.take()?, expression));
            }
            _ => {}
        }
        self.begin.get_or_insert(span.start());
        if let Some(slot) = self.head.get_mut(self.filled) {
            *slot = self.text.get(span.start()..span.end()).unwrap_or_default();
            self.filled += 1;
        }
        None
    }

    fn expression(&self) -> Expression {
        match self.head.get(..self.filled).unwrap_or_default() {
            ["[", "[", KEY, "]"] => Expression::Task,
            ["[", "[", KEY, "."] | ["[", KEY, ".", _] => Expression::PartOfTask,
            ["[", ..] => Expression::Table,
            _ => Expression::Value,
        }
    }
}
