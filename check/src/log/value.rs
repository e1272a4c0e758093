//! What strace prints as arguments and results, parsed: numbers, strings, flags, structures.

/// One printed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A string, without its quotes and escapes; an abstract name (`@"x"`) begins with a zero byte.
    Bytes {
        bytes: Vec<u8>,
        /// It goes on: strace shows so many bytes at most (`-s`).
        cut: bool,
    },
    Number(i64),
    /// A descriptor with what stands behind it: `3<UNIX-STREAM:[12->13]>`, `AT_FDCWD</tmp>` (-100).
    Fd {
        number: i64,
        note: String,
    },
    /// Anything else: flags, `NULL`, `...`.
    Word(String),
    Struct(Vec<Field>),
    Array(Vec<Value>),
    /// What was given, and what came back: `[110 => 6]`.
    Change(Box<Value>, Box<Value>),
}

/// A member of a structure, or an argument. Most arguments have no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// AT_FDCWD.
pub(crate) const CWD: i64 = -100;
/// A structure in a structure in a structure, and so on, is no deeper than this.
const DEEPEST: usize = 40;

impl Value {
    /// The number that it is, of a descriptor too.
    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Value::Number(number) | Value::Fd { number, .. } => Some(*number),
            _ => None,
        }
    }

    /// What stands behind a descriptor.
    pub(crate) fn note(&self) -> Option<&str> {
        match self {
            Value::Fd { note, .. } => Some(note),
            _ => None,
        }
    }

    pub(crate) fn word(&self) -> Option<&str> {
        match self {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.word() == Some("NULL")
    }

    /// The members of a structure.
    pub(crate) fn fields(&self) -> Option<&[Field]> {
        match self {
            Value::Struct(fields) => Some(fields),
            _ => None,
        }
    }

    /// The member of a structure with this name.
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        self.fields()?.iter().find(|field| field.name == name).map(|field| &field.value)
    }

    pub(crate) fn items(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// What the call was given.
    pub(crate) fn before(&self) -> &Value {
        match self {
            Value::Change(before, _) => before,
            value => value,
        }
    }

    /// What stood there after the call.
    pub(crate) fn after(&self) -> &Value {
        match self {
            Value::Change(_, after) => after,
            value => value,
        }
    }
}

/// A parser of one line. Bytes, since strings are escaped but paths may be anything.
pub(crate) struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Parser { text, at: 0, depth: 0 }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(crate) fn take(&mut self, token: &[u8]) -> bool {
        let is_next = self.rest().starts_with(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    /// Passes over spaces and comments.
    pub(crate) fn skip_space(&mut self) {
        loop {
            if self.rest().starts_with(b"/*") {
                let end = self.rest().windows(2).skip(2).position(|two| two == b"*/");
                self.at = end.map_or(self.text.len(), |end| self.at + end + 4);
            } else if self.peek() == Some(b' ') {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    /// Arguments up to the closing bracket, which is taken. `None` if they do not end.
    pub(crate) fn arguments(&mut self, close: u8) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            self.skip_space();
            if self.take(&[close]) {
                return Some(fields);
            }
            if self.take(b",") {
                continue;
            }
            let name = self.name();
            fields.push(Field { name, value: self.value(close == b']')? });
        }
    }

    /// `name=`, if it stands here.
    fn name(&mut self) -> String {
        let rest = self.rest();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let is_name = rest.first().is_some_and(|byte| !byte.is_ascii_digit())
            && rest.get(length) == Some(&b'=')
            && rest.get(length + 1) != Some(&b'=');
        if !is_name {
            return String::new();
        }
        self.at += length + 1;
        String::from_utf8_lossy(&rest[..length]).into_owned()
    }

    /// A value; in an array, a space ends one too.
    pub(crate) fn value(&mut self, in_array: bool) -> Option<Value> {
        self.depth += 1;
        let value = if self.depth > DEEPEST { None } else { self.changed(in_array) };
        self.depth -= 1;
        value
    }

    fn changed(&mut self, in_array: bool) -> Option<Value> {
        let before = self.plain(in_array)?;
        let here = self.at;
        self.skip_space();
        if self.take(b"=> ") {
            self.skip_space();
            let after = self.plain(in_array)?;
            return Some(Value::Change(Box::new(before), Box::new(after)));
        }
        self.at = here;
        Some(before)
    }

    fn plain(&mut self, in_array: bool) -> Option<Value> {
        match self.peek()? {
            b'"' => self.string(Vec::new()),
            b'@' if self.rest().starts_with(b"@\"") => {
                self.at += 1;
                self.string(vec![0])
            }
            b'{' => {
                self.at += 1;
                self.arguments(b'}').map(Value::Struct)
            }
            b'[' => {
                self.at += 1;
                let items = self.arguments(b']')?;
                Some(Value::Array(items.into_iter().map(|field| field.value).collect()))
            }
            _ => self.word_or_number(in_array),
        }
    }

    fn string(&mut self, mut bytes: Vec<u8>) -> Option<Value> {
        self.at += 1;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => bytes.push(self.escape()?),
                byte => bytes.push(byte),
            }
        }
        let cut = self.take(b"...");
        Some(Value::Bytes { bytes, cut })
    }

    /// What follows a backslash: a letter, up to three octal digits, or `x` and two more.
    fn escape(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'x' => {
                let digits = self.text.get(self.at..self.at + 2)?;
                self.at += 2;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            b'0'..=b'7' => {
                let mut value = u32::from(byte - b'0');
                for _ in 0..2 {
                    match self.peek() {
                        Some(digit @ b'0'..=b'7') => value = value * 8 + u32::from(digit - b'0'),
                        _ => break,
                    }
                    self.at += 1;
                }
                value as u8
            }
            other => other,
        })
    }

    fn word_or_number(&mut self, in_array: bool) -> Option<Value> {
        let start = self.at;
        let mut open = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'(' | b'[' | b'{' => open += 1,
                b')' | b']' | b'}' if open > 0 => open -= 1,
                b')' | b']' | b'}' | b',' if open == 0 => break,
                b' ' if open == 0 && (in_array || self.ends_at_space()) => break,
                b'<' if open == 0 && self.is_noted(start) => {
                    let number = number_of(&self.text[start..self.at])?;
                    return Some(Value::Fd { number, note: self.note()? });
                }
                b'"' => {
                    self.string(Vec::new())?;
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        let word = self.text[start..self.at].trim_ascii_end();
        if word.is_empty() {
            return None;
        }
        Some(match number_of(word) {
            Some(number) => Value::Number(number),
            None => Value::Word(String::from_utf8_lossy(word).trim_end().to_owned()),
        })
    }

    /// Whether a descriptor ends here, and what stands behind it begins.
    fn is_noted(&self, start: usize) -> bool {
        let word = &self.text[start..self.at];
        !word.is_empty() && is_descriptor(word) && !self.rest().starts_with(b"<<")
    }

    /// Whether what follows the space here is no part of the value.
    fn ends_at_space(&self) -> bool {
        let rest = self.rest();
        rest.starts_with(b" => ") || rest.starts_with(b" /*")
    }

    /// `<what is behind a descriptor>`, which may hold such brackets, arrows and quotes itself.
    fn note(&mut self) -> Option<String> {
        let start = self.at + 1;
        let mut open = 0;
        while let Some(byte) = self.peek() {
            match byte {
                b'\\' => self.at += 1,
                b'"' => {
                    self.string(Vec::new())?;
                    continue;
                }
                b'<' => open += 1,
                b'>' if self.text[self.at - 1] == b'-' => {}
                b'>' => {
                    open -= 1;
                    if open == 0 {
                        let note = String::from_utf8_lossy(&self.text[start..self.at]);
                        self.at += 1;
                        // `3</tmp/x>(deleted)`
                        self.take(b"(deleted)");
                        return Some(note.into_owned());
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        None
    }
}

fn is_descriptor(word: &[u8]) -> bool {
    word == b"AT_FDCWD" || word.iter().all(u8::is_ascii_digit)
}

/// A number as C writes it.
fn number_of(word: &[u8]) -> Option<i64> {
    if word == b"AT_FDCWD" {
        return Some(CWD);
    }
    let text = std::str::from_utf8(word).ok()?;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    if !digits.starts_with(|byte: char| byte.is_ascii_digit()) {
        return None;
    }
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()? as i64,
        None if digits.len() > 1 && digits.starts_with('0') => {
            i64::from_str_radix(digits, 8).ok()?
        }
        None => digits.parse().or_else(|_| digits.parse::<u64>().map(|n| n as i64)).ok()?,
    };
    Some(value.wrapping_mul(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        let mut parser = Parser::new(text.as_bytes());
        let value = parser.value(false).expect(text);
        assert_eq!(parser.rest(), b"", "{text}");
        value
    }

    fn bytes(text: &[u8], cut: bool) -> Value {
        Value::Bytes { bytes: text.to_vec(), cut }
    }

    #[test]
    fn strings_are_unescaped_and_say_that_they_are_cut() {
        assert_eq!(value(r#""a\n\0\1772\x7f\"""#), bytes(b"a\n\0\x7f2\x7f\"", false));
        assert_eq!(value(r#""abc"..."#), bytes(b"abc", true));
        assert_eq!(value(r#"@"foo""#), bytes(b"\0foo", false));
    }

    #[test]
    fn numbers_are_of_three_bases() {
        for (text, number) in
            [("12", 12), ("-1", -1), ("0644", 0o644), ("0xff", 255), ("0", 0), ("4 ", 4)]
        {
            assert_eq!(value(text), Value::Number(number));
        }
        assert_eq!(value("1<<2|FOO"), Value::Word("1<<2|FOO".into()));
    }

    #[test]
    fn descriptors_have_what_stands_behind_them() {
        let cases = [
            ("3<UNIX-STREAM:[12->13,@\"x>y\"]>", 3, "UNIX-STREAM:[12->13,@\"x>y\"]"),
            ("2</dev/null<char 1:3>>", 2, "/dev/null<char 1:3>"),
            ("AT_FDCWD</tmp/chk>", CWD, "/tmp/chk"),
        ];
        for (text, number, note) in cases {
            assert_eq!(value(text), Value::Fd { number, note: note.into() });
        }
    }

    #[test]
    fn structures_arrays_and_changes_nest() {
        let parsed = value(
            "{msg_name={sa_family=AF_UNIX, sun_path=\"/s\"}, msg_namelen=110 => 13, \
             x=[{a=1}, ...]}",
        );
        assert_eq!(parsed.field("msg_name").unwrap().field("sun_path"), Some(&bytes(b"/s", false)));
        assert_eq!(parsed.field("msg_namelen").unwrap().after(), &Value::Number(13));
        let items = parsed.field("x").unwrap().items().unwrap();
        assert_eq!(items[0].field("a"), Some(&Value::Number(1)));
        assert_eq!(items[1], Value::Word("...".into()));
        let sets = value("[3<pipe:[1]> 4 5]");
        let numbers: Vec<_> = sets.items().unwrap().iter().map(|item| item.number()).collect();
        assert_eq!(numbers, [Some(3), Some(4), Some(5)]);
        let status = value("[{WIFEXITED(s) && WEXITSTATUS(s) == 0}]");
        assert!(status.items().unwrap()[0].fields().is_some());
    }

    #[test]
    fn what_does_not_end_is_no_value() {
        for text in ["\"abc", "{a=1", "[1, 2", "3<pipe:[1]", "", "\"\\x1", &"{".repeat(1000)] {
            assert_eq!(Parser::new(text.as_bytes()).value(false), None, "{text}");
        }
    }
}
