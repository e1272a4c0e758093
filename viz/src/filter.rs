//! The filter language: which sockets to show.
//!
//! A *test* compares a *key* of a socket with a value: `type=stream`, `name~bus`, `recv>0`. Tests
//! are joined by `not`, `and`, `or` and parentheses, `not` binding closest. A key that a socket has
//! several values of (the processes that hold it) matches if one of them does.

use std::collections::BTreeSet;
use std::fmt;

use afunix::snapshot::{FileKind, Snapshot, Socket};

use crate::index::{Index, kind_word, state_word};

/// Why a filter is not understood, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// The expression.
    expression: String,
    /// Where it went wrong, in characters from 0.
    at: usize,
    /// What is wrong and what would be right.
    message: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expression, at, message } = self;
        // Escaped as one piece, the mark below would stand in the wrong column.
        let before: String = expression.chars().take(*at).collect();
        let column = crate::text::width(&crate::escape(&before));
        writeln!(out, "filter: {message}")?;
        writeln!(out, "    {}", crate::escape(expression))?;
        write!(out, "    {}^", " ".repeat(column))
    }
}

impl std::error::Error for FilterError {}

/// The part of a snapshot that an expression selects.
///
/// Keys: `pid`, `program`, `uid`, `fd` (of any holder), `type`, `state`, `name`, `id`, `peer`,
/// `recv` (bytes not read), `send` (memory charged). Comparisons: `=`, `!=`, `~` (contains), `<`,
/// `>` (numbers). A value with spaces or parentheses stands in double quotes. `type=dgram` means
/// datagram.
///
/// Kept are the sockets that match, their peers, the connections that wait at them, what is in
/// flight in their queues, and the processes that hold any of those, with just these descriptors.
///
/// # Errors
/// [`FilterError`] if the expression is not understood; its text points at the place.
///
/// # Examples
/// ```
/// use afunix::snapshot::Snapshot;
/// let all = Snapshot::default();
/// assert!(afunix_viz::filter(&all, "type=stream and not name~bus").is_ok());
/// let error = afunix_viz::filter(&all, "pdi=12").unwrap_err();
/// assert!(error.to_string().contains("unknown key `pdi`"));
/// ```
pub fn filter(snapshot: &Snapshot, expression: &str) -> Result<Snapshot, FilterError> {
    let test = Parser::new(expression)?.parse()?;
    let index = Index::new(snapshot);
    let matching: Vec<&Socket> =
        snapshot.sockets.iter().filter(|socket| test.matches(&index, socket)).collect();
    let mut files: BTreeSet<u64> = BTreeSet::new();
    let mut sockets: BTreeSet<u64> = BTreeSet::new();
    for socket in matching {
        sockets.insert(socket.id);
        sockets.extend(socket.peer);
        for &waiting in &socket.pending {
            sockets.insert(waiting);
            sockets.extend(index.socket(waiting).and_then(|socket| socket.peer));
        }
        // Where a connection waits is what one wants to know of it.
        sockets.extend(index.listener_of(socket.id));
        for file in &socket.in_flight {
            files.insert(*file);
            if let Some(FileKind::Socket(id)) = index.file(*file).map(|file| &file.kind) {
                sockets.insert(*id);
            }
        }
    }
    let is_kept = |id: u64| match index.file(id).map(|file| &file.kind) {
        Some(FileKind::Socket(socket)) => sockets.contains(socket),
        _ => files.contains(&id),
    };
    let mut kept = snapshot.clone();
    kept.sockets.retain(|socket| sockets.contains(&socket.id));
    kept.files.retain(|file| is_kept(file.id));
    let names: BTreeSet<&str> =
        kept.sockets.iter().filter_map(|socket| socket.name.as_deref()).collect();
    kept.socket_files.retain(|file| names.contains(file.path.as_str()));
    for process in &mut kept.processes {
        process.descriptors.retain(|descriptor| is_kept(descriptor.file));
    }
    kept.processes.retain(|process| !process.descriptors.is_empty());
    Ok(kept)
}

#[derive(Debug)]
enum Test {
    Not(Box<Test>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    Compare(Key, Comparison, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Contains,
    Less,
    Greater,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Pid,
    Program,
    Uid,
    Fd,
    Type,
    State,
    Name,
    Id,
    Peer,
    Recv,
    Send,
}

const KEYS: [(&str, Key); 11] = [
    ("pid", Key::Pid),
    ("program", Key::Program),
    ("uid", Key::Uid),
    ("fd", Key::Fd),
    ("type", Key::Type),
    ("state", Key::State),
    ("name", Key::Name),
    ("id", Key::Id),
    ("peer", Key::Peer),
    ("recv", Key::Recv),
    ("send", Key::Send),
];

const TYPES: [&str; 3] = ["stream", "datagram", "seqpacket"];
const STATES: [&str; 5] = ["unconnected", "listening", "pending", "connected", "disconnected"];

impl Key {
    fn is_number(self) -> bool {
        !matches!(self, Self::Program | Self::Type | Self::State | Self::Name)
    }

    fn values(self, index: &Index<'_>, socket: &Socket) -> Vec<String> {
        let holders = index.holders(socket.id).iter();
        match self {
            Self::Pid => holders.map(|holder| holder.process.pid.to_string()).collect(),
            Self::Program => holders.map(|holder| holder.process.name.clone()).collect(),
            Self::Uid => holders.map(|holder| holder.process.uid.to_string()).collect(),
            Self::Fd => holders.map(|holder| holder.fd.to_string()).collect(),
            Self::Type => vec![kind_word(socket.kind).to_owned()],
            Self::State => vec![state_word(socket.state).to_owned()],
            Self::Name => socket.name.iter().cloned().collect(),
            Self::Id => vec![socket.id.to_string()],
            Self::Peer => socket.peer.iter().map(u64::to_string).collect(),
            Self::Recv => vec![socket.receive.bytes.to_string()],
            Self::Send => vec![socket.send_memory.to_string()],
        }
    }
}

impl Test {
    fn matches(&self, index: &Index<'_>, socket: &Socket) -> bool {
        match self {
            Self::Not(test) => !test.matches(index, socket),
            Self::And(left, right) => left.matches(index, socket) && right.matches(index, socket),
            Self::Or(left, right) => left.matches(index, socket) || right.matches(index, socket),
            Self::Compare(key, comparison, wanted) => {
                let values = key.values(index, socket);
                let number = |text: &String| text.parse::<i128>().ok();
                let any = |test: &dyn Fn(&String) -> bool| values.iter().any(test);
                match comparison {
                    Comparison::Equal if key.is_number() => {
                        any(&|value| number(value) == number(wanted))
                    }
                    Comparison::Unequal if key.is_number() => {
                        !any(&|value| number(value) == number(wanted))
                    }
                    Comparison::Equal => any(&|value| value == wanted),
                    // The opposite of `=`: no value is the wanted one.
                    Comparison::Unequal => !any(&|value| value == wanted),
                    Comparison::Contains => any(&|value| value.contains(wanted.as_str())),
                    Comparison::Less => any(&|value| number(value) < number(wanted)),
                    Comparison::Greater => any(&|value| number(value) > number(wanted)),
                }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Comparison(Comparison),
    /// A word, and whether it stood in quotes.
    Word(String, bool),
}

struct Parser {
    expression: String,
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

/// Deeper nesting than anybody writes by hand: the parser calls itself, and its stack is finite.
const MAX_DEPTH: usize = 100;

impl Parser {
    fn new(expression: &str) -> Result<Self, FilterError> {
        let mut parser =
            Self { expression: expression.to_owned(), tokens: Vec::new(), next: 0, depth: 0 };
        let characters: Vec<char> = expression.chars().collect();
        let mut at = 0;
        while at < characters.len() {
            let start = at;
            at += 1;
            let token = match characters[start] {
                blank if blank.is_whitespace() => continue,
                '(' => Token::Open,
                ')' => Token::Close,
                '=' => Token::Comparison(Comparison::Equal),
                '~' => Token::Comparison(Comparison::Contains),
                '<' => Token::Comparison(Comparison::Less),
                '>' => Token::Comparison(Comparison::Greater),
                '!' if characters.get(at) == Some(&'=') => {
                    at += 1;
                    Token::Comparison(Comparison::Unequal)
                }
                '!' => return Err(parser.error(start, "`!` alone; write `!=` or `not`")),
                '"' => {
                    let Some(length) = characters[at..].iter().position(|&c| c == '"') else {
                        return Err(parser.error(start, "this quote is not closed"));
                    };
                    let word = characters[at..at + length].iter().collect();
                    at += length + 1;
                    Token::Word(word, true)
                }
                _ => {
                    let ends = |c: &char| c.is_whitespace() || "()=~<>!\"".contains(*c);
                    at = characters[start..]
                        .iter()
                        .position(ends)
                        .map_or(characters.len(), |n| start + n);
                    Token::Word(characters[start..at].iter().collect(), false)
                }
            };
            parser.tokens.push((start, token));
        }
        Ok(parser)
    }

    fn parse(mut self) -> Result<Test, FilterError> {
        let test = self.either()?;
        match self.tokens.get(self.next) {
            None => Ok(test),
            Some((at, Token::Close)) => Err(self.error(*at, "no `(` belongs to this `)`")),
            Some((at, _)) => Err(self.error(*at, "expected `and` or `or` here")),
        }
    }

    fn either(&mut self) -> Result<Test, FilterError> {
        let mut left = self.both()?;
        while self.take_word("or") {
            left = Test::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Test, FilterError> {
        let mut left = self.one()?;
        while self.take_word("and") {
            left = Test::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Test, FilterError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(self.here(), "nested too deeply"));
        }
        let test = if self.take_word("not") {
            Test::Not(Box::new(self.one()?))
        } else if self.take(&Token::Open) {
            let opened = self.tokens[self.next - 1].0;
            let test = self.either()?;
            if !self.take(&Token::Close) {
                return Err(self.error(opened, "this `(` is not closed"));
            }
            test
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(test)
    }

    fn comparison(&mut self) -> Result<Test, FilterError> {
        let at = self.here();
        let Some((_, Token::Word(word, false))) = self.tokens.get(self.next).cloned() else {
            return Err(self.error(at, "expected a test here, such as `type=stream`"));
        };
        let Some(&(_, key)) = KEYS.iter().find(|(name, _)| *name == word) else {
            let keys = KEYS.map(|(name, _)| name).join(", ");
            let word = crate::escape(&word);
            return Err(self.error(at, &format!("unknown key `{word}`; the keys are {keys}")));
        };
        self.next += 1;
        let operator_at = self.here();
        let Some((_, Token::Comparison(comparison))) = self.tokens.get(self.next).cloned() else {
            return Err(self.error(operator_at, "expected =, !=, ~, < or > here"));
        };
        self.next += 1;
        let value_at = self.here();
        let Some((_, Token::Word(value, _))) = self.tokens.get(self.next).cloned() else {
            return Err(self.error(value_at, "expected a value here"));
        };
        self.next += 1;
        let value = self.check(key, comparison, value, operator_at, value_at)?;
        Ok(Test::Compare(key, comparison, value))
    }

    /// Refuses what could never match, which is always a slip.
    fn check(
        &self,
        key: Key,
        comparison: Comparison,
        value: String,
        operator_at: usize,
        value_at: usize,
    ) -> Result<String, FilterError> {
        let ordered = matches!(comparison, Comparison::Less | Comparison::Greater);
        if ordered && !key.is_number() {
            return Err(self.error(operator_at, "`<` and `>` compare numbers; use =, != or ~"));
        }
        if comparison == Comparison::Contains {
            return Ok(value);
        }
        if key.is_number() {
            return match value.parse::<i128>() {
                Ok(_) => Ok(value),
                Err(_) => Err(self.error(value_at, "expected a number here")),
            };
        }
        let (value, allowed): (String, &[&str]) = match key {
            Key::Type if value == "dgram" => ("datagram".to_owned(), &TYPES),
            Key::Type => (value, &TYPES),
            Key::State => (value, &STATES),
            _ => return Ok(value),
        };
        if allowed.contains(&value.as_str()) {
            return Ok(value);
        }
        let message = format!("expected one of {}", allowed.join(", "));
        Err(self.error(value_at, &message))
    }

    fn here(&self) -> usize {
        self.tokens.get(self.next).map_or_else(|| self.expression.chars().count(), |(at, _)| *at)
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let found = self.tokens.get(self.next).is_some_and(|(_, token)| token == wanted);
        self.next += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.take(&Token::Word(word.to_owned(), false))
    }

    fn error(&self, at: usize, message: &str) -> FilterError {
        FilterError { expression: self.expression.clone(), at, message: message.to_owned() }
    }
}
