//! Futures made of two.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::Executor;
use crate::Host;

/// What one of two came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first was over.
    First(A),
    /// The second was over.
    Second(B),
}

/// The time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over")
    }
}

impl std::error::Error for Elapsed {}

/// Both, side by side in one task.
pub async fn join<A: Future, B: Future>(first: A, second: B) -> (A::Output, B::Output) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut one, mut other) = (None, None);
    poll_fn(|context| {
        if one.is_none()
            && let Poll::Ready(result) = first.as_mut().poll(context)
        {
            one = Some(result);
        }
        if other.is_none()
            && let Poll::Ready(result) = second.as_mut().poll(context)
        {
            other = Some(result);
        }
        match (one.take(), other.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            left => {
                (one, other) = left;
                Poll::Pending
            }
        }
    })
    .await
}

impl<H: Host> Executor<H> {
    /// Whichever is over first; the other is dropped. Which is asked first is the host's choice.
    pub async fn select<A: Future, B: Future>(
        &self,
        first: A,
        second: B,
    ) -> Either<A::Output, B::Output> {
        let (mut first, mut second) = (pin!(first), pin!(second));
        poll_fn(|context| {
            let begin = self.host().pick(2);
            for turn in 0..2 {
                if (begin + turn).is_multiple_of(2) {
                    if let Poll::Ready(result) = first.as_mut().poll(context) {
                        return Poll::Ready(Either::First(result));
                    }
                } else if let Poll::Ready(result) = second.as_mut().poll(context) {
                    return Poll::Ready(Either::Second(result));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The future's result, unless it takes longer than `time`: then it is dropped.
    pub async fn timeout<F: Future>(
        &self,
        time: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        match self.select(future, self.sleep(time)).await {
            Either::First(result) => Ok(result),
            Either::Second(()) => Err(Elapsed),
        }
    }
}
