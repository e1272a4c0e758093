//! What the tests drive a machine with: calls by number, and invariants checked after every step.

use std::time::Duration;

use afunix::call::{DirEntry, Fcntl, Stat};
use afunix::control::{ControlBuilder, ControlOut};
use afunix::{
    Address, Call, Errno, NameOut, OpenFlags, Pid, RawName, RecvFlags, Segment, SegmentMut,
    SendFlags, SocketFlags, Tid,
};
use afunix_model::{Effect, Machine, Profile, Resume, Step, Ticket};

use crate::numbers::fd;

/// The first process and its thread.
pub(crate) const MAIN: Tid = Tid(1);

/// A machine, its clock, and what it said to its host.
#[derive(Clone, Debug)]
pub(crate) struct Rig {
    pub(crate) machine: Machine,
    pub(crate) now: Duration,
    pub(crate) effects: Vec<Effect>,
}

impl Rig {
    pub(crate) fn new() -> Rig {
        Rig::of(Profile::linux_6_18())
    }

    pub(crate) fn of(profile: Profile) -> Rig {
        let machine = Machine::new(profile);
        Rig { machine, now: Duration::ZERO, effects: Vec::new() }
    }

    /// One step; its effects are kept, and the invariants checked.
    pub(crate) fn step(&mut self, tid: Tid, call: &mut Call<'_, '_>, resume: Resume) -> Step {
        let step = self.machine.step(self.now, tid, call, resume);
        self.drain();
        step
    }

    /// Drains the effects of any mutation and checks the invariants.
    pub(crate) fn drain(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            self.effects.push(effect);
        }
        if let Err(violation) = self.machine.check() {
            panic!("{violation}");
        }
    }

    /// A call that ends at once.
    pub(crate) fn call(&mut self, tid: Tid, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        match self.step(tid, call, Resume::First) {
            Step::Done(result) => result,
            Step::Restart => panic!("{} has not begun to wait", call.name()),
            Step::Blocked { on, ticket, .. } => {
                self.machine.cancel(ticket);
                self.drain();
                panic!("{} waits: {on:?}", call.name())
            }
        }
    }

    /// A call that waits; its ticket.
    pub(crate) fn blocks(&mut self, tid: Tid, call: &mut Call<'_, '_>) -> Ticket {
        match self.step(tid, call, Resume::First) {
            step @ (Step::Done(_) | Step::Restart) => {
                panic!("{} does not wait: {step:?}", call.name())
            }
            Step::Blocked { ticket, .. } => ticket,
        }
    }

    /// A call that waited and ends now.
    pub(crate) fn resume(
        &mut self,
        tid: Tid,
        call: &mut Call<'_, '_>,
        resume: Resume,
    ) -> Result<usize, Errno> {
        match self.step(tid, call, resume) {
            Step::Done(result) => result,
            Step::Restart => panic!("{} is to be made again", call.name()),
            Step::Blocked { on, .. } => panic!("{} waits again: {on:?}", call.name()),
        }
    }

    pub(crate) fn woken(&self, ticket: Ticket) -> bool {
        self.effects.contains(&Effect::Woken(ticket))
    }

    pub(crate) fn pid(&self, tid: Tid) -> Pid {
        self.machine.process_of(tid).expect("the thread lives")
    }

    pub(crate) fn socket(&mut self, tid: Tid, kind: i32) -> i32 {
        let mut call = Call::Socket { domain: afunix::AF_UNIX, kind, protocol: 0 };
        self.call(tid, &mut call).expect("a socket") as i32
    }

    pub(crate) fn pair(&mut self, tid: Tid, kind: i32) -> [i32; 2] {
        let mut fds = [-1; 2];
        let (domain, protocol) = (afunix::AF_UNIX, 0);
        self.call(tid, &mut Call::Socketpair { domain, kind, protocol, fds: &mut fds })
            .expect("a pair");
        fds
    }

    pub(crate) fn bind(&mut self, tid: Tid, number: i32, path: &str) -> Result<usize, Errno> {
        let address = Address::path(path).expect("a path").to_bytes();
        self.call(tid, &mut Call::Bind { fd: fd(number), name: RawName::Bytes(&address) })
    }

    pub(crate) fn listen(&mut self, tid: Tid, number: i32, backlog: i32) -> Result<usize, Errno> {
        self.call(tid, &mut Call::Listen { fd: fd(number), backlog })
    }

    pub(crate) fn connect(&mut self, tid: Tid, number: i32, path: &str) -> Result<usize, Errno> {
        let address = Address::path(path).expect("a path").to_bytes();
        self.call(tid, &mut Call::Connect { fd: fd(number), name: RawName::Bytes(&address) })
    }

    pub(crate) fn accept(&mut self, tid: Tid, number: i32) -> Result<usize, Errno> {
        let (mut name, flags) = (NameOut::nothing(), SocketFlags::empty());
        self.call(tid, &mut Call::Accept4 { fd: fd(number), name: &mut name, flags })
    }

    pub(crate) fn close(&mut self, tid: Tid, number: i32) -> Result<usize, Errno> {
        self.call(tid, &mut Call::Close { fd: fd(number) })
    }

    pub(crate) fn fcntl(&mut self, tid: Tid, number: i32, command: Fcntl) -> Result<usize, Errno> {
        self.call(tid, &mut Call::Fcntl { fd: fd(number), command })
    }

    pub(crate) fn write(&mut self, tid: Tid, number: i32, bytes: &[u8]) -> Result<usize, Errno> {
        let data = Segment::Bytes(bytes);
        self.call(tid, &mut Call::Write { fd: fd(number), data, progress: 0 })
    }

    /// Up to 64 KiB, without waiting.
    pub(crate) fn read(&mut self, tid: Tid, number: i32) -> Result<Vec<u8>, Errno> {
        let mut buffer = vec![0; 1 << 16];
        let data = SegmentMut::Bytes(&mut buffer);
        let count = self.call(tid, &mut Call::Read { fd: fd(number), data, progress: 0 })?;
        buffer.truncate(count);
        Ok(buffer)
    }

    pub(crate) fn send_rights(
        &mut self,
        tid: Tid,
        number: i32,
        fds: &[i32],
    ) -> Result<usize, Errno> {
        let fds: Vec<_> = fds.iter().map(|number| fd(*number)).collect();
        let control = ControlBuilder::new().rights(&fds);
        self.call(
            tid,
            &mut Call::Sendmsg {
                fd: fd(number),
                name: RawName::NONE,
                data: &[Segment::Bytes(b"x")],
                control: control.as_raw(),
                flags: SendFlags::empty(),
                progress: 0,
            },
        )
    }

    /// The bytes, the descriptors and the flags of one recvmsg.
    pub(crate) fn receive_rights(
        &mut self,
        tid: Tid,
        number: i32,
        room: usize,
    ) -> Result<(Vec<u8>, Vec<i32>, RecvFlags), Errno> {
        let (mut bytes, mut space) = ([0; 64], vec![0; room]);
        let mut control = ControlOut::new(&mut space);
        let mut flags_out = RecvFlags::empty();
        let count = self.call(
            tid,
            &mut Call::Recvmsg {
                fd: fd(number),
                name: &mut NameOut::nothing(),
                data: &mut [SegmentMut::Bytes(&mut bytes)],
                control: &mut control,
                flags: RecvFlags::empty(),
                flags_out: &mut flags_out,
                progress: 0,
            },
        )?;
        let numbers = control.messages().flat_map(|message| message.numbers()).collect();
        Ok((bytes[..count].to_vec(), numbers, flags_out))
    }

    pub(crate) fn open(&mut self, tid: Tid, path: &str, flags: OpenFlags) -> Result<usize, Errno> {
        self.call(tid, &mut Call::Open { path: path.as_bytes(), flags, mode: 0o644 })
    }

    /// Makes a file with contents.
    pub(crate) fn make_file(&mut self, tid: Tid, path: &str, contents: &[u8]) {
        let flags = OpenFlags::CREAT | OpenFlags::WRONLY;
        let number = self.open(tid, path, flags).expect("a file") as i32;
        self.write(tid, number, contents).expect("contents");
        self.close(tid, number).expect("open");
    }

    pub(crate) fn mkdir(&mut self, tid: Tid, path: &str, mode: u32) -> Result<usize, Errno> {
        self.call(tid, &mut Call::Mkdir { path: path.as_bytes(), mode })
    }

    pub(crate) fn unlink(&mut self, tid: Tid, path: &str) -> Result<usize, Errno> {
        self.call(tid, &mut Call::Unlink { path: path.as_bytes() })
    }

    pub(crate) fn rename(&mut self, tid: Tid, old: &str, new: &str) -> Result<usize, Errno> {
        self.call(tid, &mut Call::Rename { old: old.as_bytes(), new: new.as_bytes() })
    }

    pub(crate) fn stat(&mut self, tid: Tid, path: &str) -> Result<Stat, Errno> {
        let mut stat = Stat::default();
        self.call(tid, &mut Call::Stat { path: path.as_bytes(), stat: &mut stat })?;
        Ok(stat)
    }

    pub(crate) fn entries(&mut self, tid: Tid, path: &str) -> Result<Vec<String>, Errno> {
        let number = self.open(tid, path, OpenFlags::DIRECTORY)? as i32;
        let mut entries: Vec<DirEntry> = Vec::new();
        self.call(tid, &mut Call::Getdents { fd: fd(number), entries: &mut entries })?;
        self.close(tid, number)?;
        let name = |entry: DirEntry| String::from_utf8_lossy(&entry.name).into_owned();
        Ok(entries.into_iter().map(name).collect())
    }
}
