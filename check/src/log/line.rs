//! One line of a log: whose it is, when it was written, and what it says.

/// What stands before a line's body.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Prefix {
    /// The thread, if the line names it.
    pub(crate) thread: Option<i32>,
    /// Seconds, as the log counts them.
    pub(crate) time: Option<f64>,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    /// A whole call: its name, and the text from its arguments on.
    Call(&'a str, &'a [u8]),
    /// The beginning of a call.
    Unfinished(&'a str, &'a [u8]),
    /// The end of a call that is unfinished.
    Resumed(&'a str, &'a [u8]),
    /// `SIGCHLD`, and what strace knows of it.
    Signal(&'a str, &'a [u8]),
    Exited(i32),
    Killed(&'a str),
    /// Another thread of the process became this one by execve.
    Superseded(i32),
    /// strace follows another thread from now on.
    Attached(i32),
    /// The process runs in a mode that is not the machine's own.
    Mode(i32, &'a str),
    /// Something that says nothing here: a stop, a note of strace's own.
    Aside,
    /// Not written by strace.
    Foreign,
}

/// Thread ids are below this (PID_MAX_LIMIT).
const THREADS_MAX: i64 = 1 << 22;

/// Takes the prefix off a line.
pub(crate) fn prefix(line: &[u8]) -> (Prefix, &[u8]) {
    let mut prefix = Prefix::default();
    let mut rest = line;
    if let Some(after) = rest.strip_prefix(b"[pid ")
        && let Some(end) = after.iter().position(|byte| *byte == b']')
        && let Some(thread) = integer(after[..end].trim_ascii())
    {
        prefix.thread = i32::try_from(thread).ok();
        rest = after[end + 1..].trim_ascii_start();
    }
    let (word, after) = first_word(rest);
    if prefix.thread.is_none()
        && let Some(thread) = integer(word).filter(|number| *number < THREADS_MAX)
    {
        prefix.thread = i32::try_from(thread).ok();
        rest = after;
    }
    // With -r and -t there are two times.
    for _ in 0..2 {
        let (word, after) = first_word(rest);
        match time(word) {
            Some(time) => {
                prefix.time = prefix.time.or(Some(time));
                rest = after;
            }
            None if word == b"(+" => {
                let end = after.iter().position(|byte| *byte == b')');
                rest = end.map_or(rest, |end| after[end + 1..].trim_ascii_start());
            }
            None => break,
        }
    }
    (prefix, without_numbers(rest))
}

/// Without `[ 39] ` and `[00007f3b9c21b4e7] `: the call's number (-n), where it was made (-i).
fn without_numbers(mut rest: &[u8]) -> &[u8] {
    for _ in 0..2 {
        let Some(after) = rest.strip_prefix(b"[") else { break };
        let Some(end) = after.iter().position(|byte| *byte == b']') else { break };
        let inner = after[..end].trim_ascii();
        if inner.is_empty() || !inner.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'?') {
            break;
        }
        rest = after[end + 1..].trim_ascii_start();
    }
    rest
}

fn first_word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    (&text[..end], text[end..].trim_ascii_start())
}

fn integer(word: &[u8]) -> Option<i64> {
    let is_number = !word.is_empty() && word.len() < 19 && word.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(word).ok()?.parse().ok()).flatten()
}

/// `12:34:56`, `12:34:56.789`, `1700000000.123`, `0.000012`, `1700000000`.
fn time(word: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(word).ok()?;
    let is_digit = |byte: &u8| byte.is_ascii_digit() || b".:".contains(byte);
    if !word.first()?.is_ascii_digit() || !word.iter().all(is_digit) {
        return None;
    }
    let mut parts = text.split(':').rev();
    let seconds: f64 = parts.next()?.parse().ok()?;
    let (minutes, hours) = (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"));
    let (minutes, hours): (u32, u32) = (minutes.parse().ok()?, hours.parse().ok()?);
    parts
        .next()
        .is_none()
        .then_some(seconds + 60.0 * f64::from(minutes) + 3600.0 * f64::from(hours))
}

/// What the rest of a line says.
pub(crate) fn body(rest: &[u8]) -> Body<'_> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    if let Some(inner) = between(rest, b"--- ", b" ---") {
        let (signal, what) = first_word(inner);
        return if signal.starts_with(b"SIG") {
            Body::Signal(text(signal), what)
        } else {
            Body::Aside
        };
    }
    if let Some(inner) = between(rest, b"+++ ", b" +++") {
        return ended(text(inner)).unwrap_or(Body::Foreign);
    }
    if let Some(inner) = rest.strip_prefix(b"<... ") {
        let end = inner.windows(8).position(|window| window == b"resumed>");
        let Some(end) = end else { return Body::Foreign };
        let name = inner[..end].trim_ascii();
        return if is_name(name) {
            Body::Resumed(text(name), &inner[end + 8..])
        } else {
            Body::Foreign
        };
    }
    if let Some(inner) = rest.strip_prefix(b"strace: ") {
        return attached(text(inner));
    }
    if let Some(inner) = between(rest, b"[ Process PID=", b" mode. ]") {
        return mode(text(inner)).unwrap_or(Body::Aside);
    }
    call(rest)
}

fn call(rest: &[u8]) -> Body<'_> {
    let Some(end) = rest.iter().position(|byte| *byte == b'(') else { return Body::Foreign };
    let (name, arguments) = (&rest[..end], &rest[end + 1..]);
    if !is_name(name) {
        return Body::Foreign;
    }
    let name = std::str::from_utf8(name).unwrap_or_default();
    match unfinished(arguments) {
        Some(arguments) => Body::Unfinished(name, arguments),
        None => Body::Call(name, arguments),
    }
}

/// The text before `<unfinished ...>`, if a line ends with it.
pub(crate) fn unfinished(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii_end();
    let before = text.strip_suffix(b"<unfinished ...>");
    before.or_else(|| text.strip_suffix(b"<detached ...>"))
}

fn is_name(name: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && name.iter().all(is_part)
}

fn between<'a>(text: &'a [u8], before: &[u8], after: &[u8]) -> Option<&'a [u8]> {
    text.trim_ascii_end().strip_prefix(before)?.strip_suffix(after)
}

fn ended(text: &str) -> Option<Body<'_>> {
    let last = text.split(' ').next_back()?;
    if text.starts_with("exited with ") {
        return Some(Body::Exited(last.parse().ok()?));
    }
    if text.starts_with("superseded by execve in pid ") {
        return Some(Body::Superseded(last.parse().ok()?));
    }
    let signal = text.strip_prefix("killed by ")?;
    Some(Body::Killed(signal.split(' ').next()?))
}

fn attached(text: &str) -> Body<'_> {
    let thread = text.strip_prefix("Process ").and_then(|rest| rest.strip_suffix(" attached"));
    match thread.and_then(|thread| thread.parse().ok()) {
        Some(thread) => Body::Attached(thread),
        None => Body::Aside,
    }
}

/// `12 runs in 32 bit`.
fn mode(text: &str) -> Option<Body<'_>> {
    let (process, mode) = text.split_once(" runs in ")?;
    Some(Body::Mode(process.parse().ok()?, mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_is_taken_off() {
        let cases = [
            ("read(3", None, None),
            ("29549 read(3", Some(29549), None),
            ("[pid 29549] read(3", Some(29549), None),
            ("[pid   549] 04:30:13.5 read(3", Some(549), Some(16213.5)),
            ("29549 04:30:13 read(3", Some(29549), Some(16213.0)),
            ("29549 1700000000.250000 read(3", Some(29549), Some(1_700_000_000.25)),
            ("1700000000 read(3", None, Some(1_700_000_000.0)),
            ("     0.000250 read(3", None, Some(0.000_25)),
            ("04:30:13 (+     0.000123) read(3", None, Some(16213.0)),
            ("29549 [  39] read(3", Some(29549), None),
            ("29549 [00007f3b9c21b4e7] read(3", Some(29549), None),
        ];
        for (line, thread, time) in cases {
            let (found, rest) = prefix(line.as_bytes());
            assert_eq!((found, rest), (Prefix { thread, time }, &b"read(3"[..]), "{line}");
        }
    }

    #[test]
    fn bodies_are_told_apart() {
        let cases: [(&str, Body<'_>); 14] = [
            ("read(3, \"\", 9) = 0", Body::Call("read", b"3, \"\", 9) = 0")),
            ("read(3,  <unfinished ...>", Body::Unfinished("read", b"3,  ")),
            ("<... read resumed>\"\", 9) = 0", Body::Resumed("read", b"\"\", 9) = 0")),
            ("<... close resumed> ) = 0", Body::Resumed("close", b" ) = 0")),
            ("--- SIGCHLD {si_signo=SIGCHLD} ---", Body::Signal("SIGCHLD", b"{si_signo=SIGCHLD}")),
            ("--- stopped by SIGTTOU ---", Body::Aside),
            ("+++ exited with 3 +++", Body::Exited(3)),
            ("+++ killed by SIGSEGV (core dumped) +++", Body::Killed("SIGSEGV")),
            ("+++ superseded by execve in pid 12 +++", Body::Superseded(12)),
            ("strace: Process 7 attached", Body::Attached(7)),
            ("strace: Process 7 detached", Body::Aside),
            ("[ Process PID=9 runs in 32 bit mode. ]", Body::Mode(9, "32 bit")),
            ("hello, world (again)", Body::Foreign),
            ("", Body::Foreign),
        ];
        for (line, expected) in cases {
            assert_eq!(body(line.as_bytes()), expected, "{line}");
        }
    }
}
