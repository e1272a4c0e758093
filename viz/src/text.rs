//! Text as a reader gets it: escaped, cut to a width, times with units, errnos by name.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

/// `text` with everything escaped that is not plainly visible.
///
/// Control characters, terminal escapes, line ends, direction overrides, zero-width and unassigned
/// characters become `\n`, `\u{1b}` and so on, as in Rust. A backslash is doubled, so that two
/// different names never look the same. Other scripts and symbols stay readable.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' => out.push(character),
            _ => out.extend(character.escape_debug()),
        }
    }
    out
}

/// Escapes what JSON allows to stand as it is, though a terminal would act on it. Only strings hold
/// such characters, so a replacement in the finished text is safe.
pub(crate) fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        let hidden =
            !matches!(character, '\n' | '"' | '\'' | '\\') && character.escape_debug().count() > 1;
        if !hidden {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// Text as content or attribute value of XML. It must have gone through [`escape`] before; line
/// ends between pieces that have are fine.
pub(crate) fn xml(escaped: &str) -> String {
    let mut out = String::with_capacity(escaped.len());
    for character in escaped.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}

/// Escaped text as a quoted string of DOT.
pub(crate) fn dot_string(text: &str) -> String {
    // A backslash stays one in DOT only if it is doubled: `\N` would print the node's name.
    format!("\"{}\"", escape(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// How many columns of a terminal the (escaped) text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// The (escaped) text in at most `columns` columns, its end cut off with an ellipsis.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for character in text.chars() {
        let more = character.width().unwrap_or(0);
        if used + more + 1 > columns {
            break;
        }
        used += more;
        out.push(character);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// As [`cut`], but the middle goes: the end of a path says more than its beginning.
pub(crate) fn cut_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns < 8 {
        return cut(text, columns);
    }
    let head = cut(text, columns / 3);
    let room = columns - width(&head);
    let mut used = 0;
    let mut start = text.len();
    for (at, character) in text.char_indices().rev() {
        let more = character.width().unwrap_or(0);
        if used + more > room {
            break;
        }
        used += more;
        start = at;
    }
    format!("{head}{}", &text[start..])
}

/// The (escaped) text, cut or filled up with spaces to exactly `columns` columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let mut out = cut(text, columns);
    for _ in width(&out)..columns {
        out.push(' ');
    }
    out
}

/// Breaks an (escaped) sentence at blanks into lines of at most `columns`. The lines after the
/// first stand two columns further in than it does.
pub(crate) fn wrap(sentence: &str, columns: usize) -> Vec<String> {
    let indent = sentence.len() - sentence.trim_start_matches(' ').len();
    let mut lines = Vec::new();
    let mut line = " ".repeat(indent);
    let mut empty = true;
    for word in sentence.split_ascii_whitespace() {
        let word = cut(word, columns.saturating_sub(indent + 2));
        if !empty && width(&line) + 1 + width(&word) > columns {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent + 2)));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(&word);
        empty = false;
    }
    lines.push(line);
    lines
}

/// A length of time with a unit that suits it: `850 ns`, `12.3 µs`, `4.25 ms`, `1.5 s`.
pub(crate) fn duration(nanoseconds: u64) -> String {
    with_unit(nanoseconds, 3)
}

/// A moment, to the nanosecond as long as that fits into a narrow column: `1.0001 ms`.
pub(crate) fn clock(nanoseconds: u64) -> String {
    let exact = with_unit(nanoseconds, 9);
    if width(&exact) <= 10 { exact } else { with_unit(nanoseconds, 4) }
}

fn with_unit(nanoseconds: u64, decimals: usize) -> String {
    let (unit, per_unit, digits) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds} ns"),
        1_000..1_000_000 => ("µs", 1_000, 3),
        1_000_000..1_000_000_000 => ("ms", 1_000_000, 6),
        _ => ("s", 1_000_000_000, 9),
    };
    let whole = nanoseconds / per_unit;
    // Integers, and cut instead of rounded: the digits must not depend on floating point.
    let fraction = format!("{:0digits$}", nanoseconds % per_unit);
    match fraction[..decimals.min(digits)].trim_end_matches('0') {
        "" => format!("{whole} {unit}"),
        digits => format!("{whole}.{digits} {unit}"),
    }
}

/// The name of a Linux errno: `EAGAIN`; `errno 77` for one that socket calls do not return.
pub(crate) fn errno(number: i64) -> String {
    #[rustfmt::skip]
    let name = match number {
        1 => "EPERM", 2 => "ENOENT", 3 => "ESRCH", 4 => "EINTR", 5 => "EIO", 9 => "EBADF",
        10 => "ECHILD", 11 => "EAGAIN", 12 => "ENOMEM", 13 => "EACCES", 14 => "EFAULT",
        16 => "EBUSY", 17 => "EEXIST", 20 => "ENOTDIR", 21 => "EISDIR", 22 => "EINVAL",
        23 => "ENFILE", 24 => "EMFILE", 25 => "ENOTTY", 28 => "ENOSPC", 29 => "ESPIPE",
        30 => "EROFS", 32 => "EPIPE", 34 => "ERANGE", 35 => "EDEADLK", 36 => "ENAMETOOLONG",
        38 => "ENOSYS", 40 => "ELOOP", 61 => "ENODATA", 62 => "ETIME", 71 => "EPROTO",
        75 => "EOVERFLOW", 88 => "ENOTSOCK", 89 => "EDESTADDRREQ", 90 => "EMSGSIZE",
        91 => "EPROTOTYPE", 92 => "ENOPROTOOPT", 93 => "EPROTONOSUPPORT",
        94 => "ESOCKTNOSUPPORT", 95 => "EOPNOTSUPP", 97 => "EAFNOSUPPORT", 98 => "EADDRINUSE",
        99 => "EADDRNOTAVAIL", 103 => "ECONNABORTED", 104 => "ECONNRESET", 105 => "ENOBUFS",
        106 => "EISCONN", 107 => "ENOTCONN", 108 => "ESHUTDOWN", 109 => "ETOOMANYREFS",
        110 => "ETIMEDOUT", 111 => "ECONNREFUSED", 114 => "EALREADY", 115 => "EINPROGRESS",
        116 => "ESTALE", 125 => "ECANCELED",
        512 => "ERESTARTSYS",
        _ => return format!("errno {number}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_survives() {
        let hostile = "\x1b[31mred\x07\r\n\u{9b}2J\u{202e}evil\u{200b}\u{7f}\0";
        let shown = escape(hostile);
        assert_eq!(shown, "\\u{1b}[31mred\\u{7}\\r\\n\\u{9b}2J\\u{202e}evil\\u{200b}\\u{7f}\\0");
        assert_eq!(escape("päth 家 \\n"), "päth 家 \\\\n");
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(xml(&escape("<a b='\"'>&\x1b")), "&lt;a b=&#39;&quot;&#39;&gt;&amp;\\u{1b}");
        assert_eq!(dot_string("a\"b\\N\n"), "\"a\\\"b\\\\\\\\N\\\\n\"");
    }

    #[test]
    fn cuts_keep_the_width() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(cut("家家家", 4), "家…");
        assert_eq!(pad("家家家", 5), "家家…");
        assert_eq!(pad("a", 3), "a  ");
        assert_eq!(cut_middle("/run/user/1000/bus/private", 16), "/run…bus/private");
        for columns in 0..30 {
            assert!(width(&cut("/a/家/long/path/of/日本語/x", columns)) <= columns);
            assert!(width(&cut_middle("/a/家/long/path/of/日本語/x", columns)) <= columns);
        }
    }

    #[test]
    fn sentences_are_broken_at_blanks() {
        assert_eq!(wrap("  one two three", 10), ["  one two", "    three"]);
        assert_eq!(wrap("abcdefghijkl", 8), ["abcde…"]);
        assert_eq!(wrap("", 8), [""]);
    }

    #[test]
    fn durations_have_their_unit() {
        let shown: Vec<String> =
            [0, 999, 1_000, 12_300, 4_250_000, 1_500_000_000].map(duration).into();
        assert_eq!(shown, ["0 ns", "999 ns", "1 µs", "12.3 µs", "4.25 ms", "1.5 s"]);
        assert_eq!(duration(1_000_123_456), "1 s");
        assert_eq!(clock(1_000_100), "1.0001 ms");
        assert_eq!(clock(1_000_123_456), "1.0001 s");
    }
}
