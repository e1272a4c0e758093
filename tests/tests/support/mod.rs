//! The model as a backend for one thread that never waits.

use std::sync::Mutex;

use afunix::{Backend, Call, Errno, Tid};
use afunix_model::{Machine, Profile, Resume, Step, Time};

/// A machine of which no call waits.
pub(crate) struct Model(pub(crate) Mutex<Machine>);

impl Model {
    pub(crate) fn new() -> Model {
        Model(Mutex::new(Machine::new(Profile::linux_6_18())))
    }
}

impl Backend for Model {
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        let mut machine = self.0.lock().expect("no call panics");
        let step = machine.step(Time::ZERO, Tid(1), call, Resume::First);
        while machine.next_effect().is_some() {}
        machine.check().expect("invariants hold");
        match step {
            Step::Done(result) => result,
            other => panic!("{}: {other:?}", call.name()),
        }
    }
}
