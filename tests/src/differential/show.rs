//! A diverging program, to be read.

use std::fmt::Write;

use afunix::options::option_name;

use super::answer::{Answer, Tag};
use super::compare::{Pairs, first_difference};
use super::perform::{ENTRY, NOT_ASKED};
use super::program::{Control, Name, Program, ReceiveBy, Request, SendBy, Slot};
use super::{Failure, Found, Runner, waiting};

/// The program with the answers of both sides, up to the first difference.
pub(super) fn report(
    runner: &mut Runner,
    program: &Program,
    first: &Found,
) -> Result<String, Failure> {
    if program.threads > 1 {
        let ran = waiting::run(&runner.here.profile, &mut runner.kernel, program)?;
        let is_again = ran.found().is_some();
        return Ok(if is_again { waiting::report(program, &ran) } else { once(first) });
    }
    let both = runner.both(program)?;
    let Some(found) = first_difference(program, &both) else { return Ok(once(first)) };
    let mut text = String::new();
    let mut pairs = Pairs::new(&both);
    for (index, step) in program.steps.iter().enumerate().take(found.step + 1) {
        if program.processes > 1 && index == program.before_fork {
            let _ = writeln!(text, "    -- fork: processes 0 to {}", program.processes - 1);
        }
        let call = show_request(&step.request);
        let _ = write!(text, "    {}: {call}", step.process);
        let model = both.model.done.get(index).and_then(Option::as_ref);
        let Some(model) = model else {
            text.push_str(" ... not made\n");
            continue;
        };
        let _ = writeln!(text, " = {}", show_result(&model.answer));
        let Some(kernel) = &both.kernel.done[index] else { continue };
        let kernel = pairs.translate(&step.request, kernel, &model.answer);
        if index == found.step {
            show_difference(&mut text, &model.answer, &kernel);
        }
    }
    let _ = writeln!(text, "    differs in {}: {}", found.call, found.what);
    Ok(text)
}

fn once(Found { step, call, what, shown }: &Found) -> String {
    format!(
        "    it diverged once, in step {step} ({call}: {what}), and does not always:\n    \
         something else on this system may have had a hand in it; run it again\n{shown}"
    )
}

pub(super) fn show_difference(text: &mut String, model: &Answer, kernel: &Answer) {
    for side in [("model", model, kernel), ("kernel", kernel, model)] {
        let (name, own, other) = side;
        for (index, (tag, bytes)) in own.fields.iter().enumerate() {
            if other.fields.get(index) == Some(&(*tag, bytes.clone())) {
                continue;
            }
            let others = other.fields.get(index).map_or(&[][..], |(_, bytes)| bytes);
            let _ = writeln!(text, "        {name:6} {}", show_field(*tag, bytes, others));
        }
    }
}

pub(super) fn show_result(answer: &Answer) -> String {
    match answer.result() {
        Ok(value) => value.to_string(),
        Err(errno) => format!("{errno:?}"),
    }
}

fn show_field(tag: Tag, bytes: &[u8], other: &[u8]) -> String {
    match tag {
        Tag::Result => {
            let number = i64::from_ne_bytes(bytes.try_into().unwrap_or_default());
            match afunix::Errno::from_raw(-number.max(-4096) as i32) {
                Some(errno) if number < 0 => format!("result {errno:?}"),
                _ => format!("result {number}"),
            }
        }
        Tag::After => {
            // Only the descriptors that differ.
            let differs = |entry: &&[u8]| !other.chunks(ENTRY).any(|of| of == *entry);
            let entries: Vec<String> =
                bytes.chunks(ENTRY).filter(differs).map(show_after).collect();
            format!("afterwards {}", entries.join(", "))
        }
        Tag::Data => {
            let shown = &bytes[..bytes.len().min(80)];
            format!("{} bytes \"{}\"", bytes.len(), shown.escape_ascii())
        }
        _ => {
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{tag:?} {}", hex.join(" "))
        }
    }
}

fn show_after(entry: &[u8]) -> String {
    let word = |at: usize| entry[at..].first_chunk::<4>().map_or(0, |w| i32::from_ne_bytes(*w));
    let mask = i16::from_ne_bytes([entry[1], entry[2]]);
    let mask = afunix::Readiness::from_bits_retain(mask);
    match (word(3), word(7)) {
        (NOT_ASKED, _) => format!("fd {}: poll {mask:?}", entry[0]),
        (inq, outq) => format!("fd {}: poll {mask:?} inq {inq} outq {outq}", entry[0]),
    }
}

fn show_slot(slot: Slot) -> String {
    match slot {
        Slot::Made(slot) => format!("s{slot}"),
        Slot::Console => "0".into(),
        Slot::Negative => "-1".into(),
    }
}

fn show_name(name: &Name) -> String {
    match name {
        Name::None => "none".into(),
        Name::Null(len) => format!("NULL, {len}"),
        Name::Fault(len) => format!("BAD, {len}"),
        Name::Path(path) => format!("\"{path}\""),
        Name::Abstract(index) => format!("@{index}"),
        Name::Handle(slot) => format!("\"/proc/self/fd/{}\"", show_slot(*slot)),
        Name::Raw(bytes) => format!("raw \"{}\" ({})", bytes.escape_ascii(), bytes.len()),
    }
}

fn show_control(message: &Control) -> String {
    match message {
        Control::Rights(slots) => {
            let slots: Vec<String> = slots.iter().map(|slot| show_slot(*slot)).collect();
            format!("SCM_RIGHTS({})", slots.join(" "))
        }
        Control::Credentials { process, uid, gid } => {
            format!("SCM_CREDENTIALS(process {process}, {uid}, {gid})")
        }
        Control::Raw(bytes) => format!("raw({})", bytes.escape_ascii()),
    }
}

pub(super) fn show_request(request: &Request) -> String {
    let name = request.name();
    match request {
        Request::Socket { kind, protocol, into, .. } => {
            format!("s{into} = socket(AF_UNIX, {kind:#x}, {protocol})")
        }
        Request::Socketpair { kind, protocol, into: [a, b], .. } => {
            format!("s{a}, s{b} = socketpair(AF_UNIX, {kind:#x}, {protocol})")
        }
        Request::Bind { fd, name: to } | Request::Connect { fd, name: to } => {
            format!("{name}({}, {})", show_slot(*fd), show_name(to))
        }
        Request::Accept { fd, flags, want, into } => {
            format!("s{into} = accept4({}, {want:?}, {flags:#x})", show_slot(*fd))
        }
        Request::Getsockopt { fd, level, option, len, .. } => {
            let option = option_name(*option).map_or(option.to_string(), str::to_owned);
            format!("getsockopt({}, {level}, {option}, {len})", show_slot(*fd))
        }
        Request::Setsockopt { fd, level, option, value } => {
            let option = option_name(*option).map_or(option.to_string(), str::to_owned);
            format!("setsockopt({}, {level}, {option}, {value:?})", show_slot(*fd))
        }
        Request::Send { fd, by, data, flags } => {
            let data = show_data(data);
            let more = match by {
                SendBy::Write | SendBy::Writev => String::new(),
                SendBy::Sendto(to) => format!(", {flags:#x}, to {}", show_name(to)),
                SendBy::Sendmsg(to, control) => {
                    let control: Vec<String> = control.iter().map(show_control).collect();
                    format!(", {flags:#x}, to {}, [{}]", show_name(to), control.join(", "))
                }
            };
            format!("{name}({}, {data}{more})", show_slot(*fd))
        }
        Request::Receive { fd, by, data, flags, into } => {
            let data = show_data(data);
            let more = match by {
                ReceiveBy::Read | ReceiveBy::Readv => String::new(),
                ReceiveBy::Recvfrom(want) => format!(", {flags:#x}, {want:?}"),
                ReceiveBy::Recvmsg(want, room) => {
                    format!(", {flags:#x}, {want:?}, {room:?}, files to s{into}..")
                }
            };
            format!("{name}({}, {data}{more})", show_slot(*fd))
        }
        other => format!("{other:?}"),
    }
}

fn show_data(data: &[super::program::Piece]) -> String {
    let piece = |piece: &super::program::Piece| match piece.faults {
        true => format!("{} BAD", piece.len),
        false => format!("{}", piece.len),
    };
    let pieces: Vec<String> = data.iter().map(piece).collect();
    format!("[{}]", pieces.join(" + "))
}
