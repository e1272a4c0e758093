//! Every choice in turn: depth first, without knowing what a step does.

use std::sync::{Arc, Mutex, PoisonError};

use crate::choice::{Label, Strategy};

/// The choices of a run, each with what is left of it.
#[derive(Debug, Default)]
struct Path {
    /// (ways, the one taken).
    points: Vec<(u32, u32)>,
    at: usize,
    preemptions: u32,
}

/// Enumerates runs; a clone goes on where the other is.
#[derive(Clone, Debug)]
pub(crate) struct Every {
    path: Arc<Mutex<Path>>,
    most_preemptions: u32,
}

impl Every {
    pub(crate) fn new(most_preemptions: u32) -> Every {
        Every { path: Arc::default(), most_preemptions }
    }

    fn with<R>(&self, work: impl FnOnce(&mut Path) -> R) -> R {
        work(&mut self.path.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes ready for the next run; `false` if there is none.
    pub(crate) fn next_run(&self) -> bool {
        self.with(|path| {
            path.points.truncate(path.at);
            (path.at, path.preemptions) = (0, 0);
            while let Some((ways, taken)) = path.points.last_mut() {
                *taken += 1;
                if *taken < *ways {
                    return true;
                }
                path.points.pop();
            }
            false
        })
    }

    /// Which part is done, as far as is known now: between 0 and 1.
    pub(crate) fn done(&self) -> f64 {
        self.with(|path| {
            let (mut done, mut share) = (0.0, 1.0);
            for (ways, taken) in &path.points {
                done += share * f64::from(*taken) / f64::from(*ways);
                share /= f64::from(*ways);
            }
            done + share
        })
    }
}

impl Path {
    fn next(&mut self, ways: u32) -> u32 {
        if self.at == self.points.len() {
            self.points.push((ways, 0));
        }
        let (_, taken) = self.points[self.at];
        self.at += 1;
        taken
    }
}

impl Strategy for Every {
    fn thread(&mut self, runnable: &[u32], first_ran_last: bool) -> u32 {
        let most = self.most_preemptions;
        self.with(|path| {
            if first_ran_last && path.preemptions >= most {
                return 0;
            }
            let taken = path.next(runnable.len() as u32);
            path.preemptions += u32::from(first_ran_last && taken != 0);
            taken
        })
    }

    fn choose(&mut self, n: u32, _: Label) -> u32 {
        self.with(|path| path.next(n))
    }

    fn chance(&mut self, _: u32, _: Label) -> bool {
        self.with(|path| path.next(2)) != 0
    }
}
