//! Comparing answers.
//!
//! Some bytes are rightly different: process ids, and the names that autobind draws. They are
//! compared as a bijection: what stands for what is settled at the first meeting, and has to stay
//! so.

use std::collections::BTreeMap;

use afunix::control::SCM_CREDENTIALS;
use afunix::options::*;

use super::answer::{Answer, Tag};
use super::program::{Program, Request};
use super::{Both, Found, show};

/// Control messages that tell a time.
const TIMES: [i32; 6] = [
    SO_TIMESTAMP,
    SO_TIMESTAMPNS,
    SO_TIMESTAMPING,
    SO_TIMESTAMP_NEW,
    SO_TIMESTAMPNS_NEW,
    SO_TIMESTAMPING_NEW,
];

/// The first step whose answers differ.
pub(super) fn first_difference(program: &Program, both: &Both) -> Option<Found> {
    let mut pairs = Pairs::new(both);
    for (index, step) in program.steps.iter().enumerate() {
        let call = step.request.name();
        let found = |what: String| Some(Found { step: index, call, what, shown: String::new() });
        let Some(model) = both.model.done.get(index) else {
            let said = both.model.broken.as_deref().unwrap_or("no reason");
            return found(format!("the model broke: {said}"));
        };
        let Some(model) = model else { continue };
        let Some(kernel) = &both.kernel.done[index] else {
            return found(format!("the kernel's worker stopped: {:?}", both.kernel.stopped));
        };
        let kernel = pairs.translate(&step.request, kernel, &model.answer);
        if let Some(what) = difference(&model.answer, &kernel) {
            let mut shown = String::new();
            show::show_difference(&mut shown, &model.answer, &kernel);
            return Some(Found { step: index, call, what, shown });
        }
    }
    None
}

/// Which field differs first.
pub(super) fn difference(model: &Answer, kernel: &Answer) -> Option<String> {
    let differs = model.fields.iter().zip(&kernel.fields).find(|(one, other)| one != other);
    if let Some(((tag, _), _)) = differs {
        return Some(format!("{tag:?}"));
    }
    (model.fields.len() != kernel.fields.len()).then(|| "fields".to_owned())
}

/// What on the kernel stands for what in the model.
#[derive(Clone, Default)]
pub(super) struct Pairs {
    pids: Vec<(i32, i32)>,
    /// The five digits of autobound names: the kernel's, the model's.
    drawn: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The same, the other way round.
    taken: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Pairs {
    pub(super) fn new(both: &Both) -> Pairs {
        let mut pairs = Pairs::default();
        pairs.know(&both.kernel.pids, &both.model.pids);
        pairs
    }

    /// From now on the processes are these.
    pub(super) fn know(&mut self, kernel: &[i32], model: &[i32]) {
        self.pids = kernel.iter().copied().zip(model.iter().copied()).collect();
    }

    /// The kernel's answer in the model's terms.
    pub(super) fn translate(
        &mut self,
        request: &Request,
        kernel: &Answer,
        model: &Answer,
    ) -> Answer {
        let mut kernel = kernel.clone();
        for (index, (tag, bytes)) in kernel.fields.iter_mut().enumerate() {
            let of_model = model.fields.get(index).map_or(&[][..], |(_, bytes)| bytes);
            match tag {
                Tag::Name => self.translate_name(&mut bytes[4..], of_model.get(4..).unwrap_or(&[])),
                Tag::Control => {
                    translate_times(&mut bytes[4..], of_model.get(4..).unwrap_or(&[]));
                    self.translate_control(&mut bytes[4..], of_model.get(4..).unwrap_or(&[]));
                }
                Tag::Pid => self.translate_pid(bytes, of_model),
                Tag::Value if is_peername(request) => {
                    self.translate_name(&mut bytes[4..], of_model.get(4..).unwrap_or(&[]));
                }
                Tag::Value if is_drawn(request) && bytes.len() == of_model.len() => {
                    bytes.copy_from_slice(of_model);
                }
                Tag::Value if is_peercred(request) => {
                    self.translate_pid(&mut bytes[4..], of_model.get(4..).unwrap_or(&[]));
                }
                _ => {}
            }
        }
        kernel
    }

    fn translate_name(&mut self, kernel: &mut [u8], model: &[u8]) {
        let is_drawn = |name: &[u8]| {
            let digit = |byte: &u8| b"0123456789abcdef".contains(byte);
            name.len() == 8 && name[2] == 0 && name[3..].iter().all(digit)
        };
        if !is_drawn(kernel) || !is_drawn(model) {
            return;
        }
        let (of_kernel, of_model) = (kernel[3..].to_vec(), model[3..].to_vec());
        let met = self.taken.contains_key(&of_model);
        if !met && !self.drawn.contains_key(&of_kernel) {
            self.taken.insert(of_model.clone(), of_kernel.clone());
            self.drawn.insert(of_kernel.clone(), of_model);
        }
        if let Some(stands_for) = self.drawn.get(&of_kernel) {
            kernel[3..].copy_from_slice(stands_for);
        }
    }

    /// Every SCM_CREDENTIALS, also one that was cut.
    fn translate_control(&self, control: &mut [u8], of_model: &[u8]) {
        let mut at = 0;
        while at + 16 <= control.len() {
            let word = |at: usize| control[at..].first_chunk::<4>().map(|w| u32::from_ne_bytes(*w));
            let (Some(len), Some(kind)) = (word(at), word(at + 12)) else { return };
            let len = (len as usize).clamp(16, control.len() - at);
            if kind == SCM_CREDENTIALS as u32 {
                let of_model = of_model.get(at + 16..).unwrap_or(&[]);
                self.translate_pid(&mut control[at + 16..at + len], of_model);
            }
            at += len.next_multiple_of(8);
        }
    }

    /// The process id that stands for what `bytes` begin with. Of one that was cut there may be
    /// several: the model's, if it is among them. No process has id 0, which stands for itself.
    fn translate_pid(&self, bytes: &mut [u8], model: &[u8]) {
        let cut = bytes.len().min(model.len()).min(4);
        let begins = |bytes: &[u8], pid: i32| bytes[..cut] == pid.to_ne_bytes()[..cut];
        let all = [(0, 0)].into_iter().chain(self.pids.iter().copied());
        let fits: Vec<i32> = all.filter(|(of, _)| begins(bytes, *of)).map(|(_, pid)| pid).collect();
        let own = fits.iter().find(|pid| begins(model, **pid)).or(fits.first());
        if let Some(pid) = own {
            bytes[..cut].copy_from_slice(&pid.to_ne_bytes()[..cut]);
        }
    }
}

/// Puts the model's time in the place of the kernel's, where both have one.
fn translate_times(kernel: &mut [u8], model: &[u8]) {
    let mut at = 0;
    while let (Some(header), Some(of_model)) = (kernel.get(at..at + 16), model.get(at..at + 16)) {
        let len = usize::from_ne_bytes(*header.first_chunk().expect("8 of 16 bytes"));
        let kind = i32::from_ne_bytes(*header[12..].first_chunk().expect("4 of 16 bytes"));
        let end = at + len.clamp(16, kernel.len() - at);
        if TIMES.contains(&kind) && header == of_model && end <= model.len() {
            kernel[at + 16..end].copy_from_slice(&model[at + 16..end]);
        }
        at = end.next_multiple_of(8);
    }
}

/// Options whose value is a number of the kernel's choice.
fn is_drawn(request: &Request) -> bool {
    let drawn = [SO_COOKIE, SO_NETNS_COOKIE];
    matches!(request, Request::Getsockopt { option, .. } if drawn.contains(option))
}

fn is_peername(request: &Request) -> bool {
    matches!(request, Request::Getsockopt { option, .. } if *option == SO_PEERNAME)
}

fn is_peercred(request: &Request) -> bool {
    matches!(request, Request::Getsockopt { option, .. } if *option == SO_PEERCRED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_id_that_was_cut_stands_for_what_it_can() {
        let mut pairs = Pairs::default();
        pairs.know(&[0x1200, 0x1334, 0x1434], &[3, 4, 5]);
        let translated = |bytes: &[u8], model: &[u8]| {
            let mut bytes = bytes.to_vec();
            pairs.translate_pid(&mut bytes, model);
            bytes
        };
        assert_eq!(translated(&[0x00], &[0]), [0], "no process");
        assert_eq!(translated(&[0x00], &[3]), [3], "the first");
        assert_eq!(translated(&[0x34], &[5]), [5], "either of two");
        assert_eq!(translated(&[0x34, 0x13], &[5, 0]), [4, 0], "but not what it cannot be");
        assert_eq!(translated(&0x1200i32.to_ne_bytes(), &0i32.to_ne_bytes()), 3i32.to_ne_bytes());
        assert!(translated(&[], &[]).is_empty());
    }
}
