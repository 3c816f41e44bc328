//! What a person sees while a load test runs: a bar on a terminal, nothing in a pipe.

use std::{fmt::Write, io::IsTerminal, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use crate::client::load::{Load, tally::Tally};

const LOOK_EVERY: Duration = Duration::from_millis(250);
const TEMPLATE: &str =
    "[{bar:28}] {percent:>3}% {bytes}/{total_bytes} {bytes_per_sec} {msg} ETA {eta}";

/// The bar of a run, if there is one.
pub(super) struct Live {
    shown: Option<(ProgressBar, JoinHandle<()>)>,
}

impl Live {
    /// Begins to show `load`, unless nobody looks.
    pub(super) fn start(load: &Arc<Load>, quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        if quiet || dumb || !std::io::stderr().is_terminal() {
            return Self { shown: None };
        }
        let plan = load.plan();
        let total = plan.uploads.saturating_mul(plan.size);
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(TEMPLATE);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        let (load, theirs) = (Arc::clone(load), bar.clone());
        let task = tokio::spawn(async move {
            loop {
                theirs.set_position(Tally::value(&load.tally().sent).min(total));
                theirs.set_message(words(load.tally(), load.plan().uploads));
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Self { shown: Some((bar, task)) }
    }

    /// Takes the bar away.
    pub(super) async fn done(self) {
        if let Some((bar, task)) = self.shown {
            task.abort();
            // It must not draw once more after the bar has gone.
            let _ = task.await;
            bar.finish_and_clear();
        }
    }
}

fn words(tally: &Tally, uploads: u64) -> String {
    let mut words = format!("{} of {uploads} images", Tally::value(&tally.done));
    for (count, what) in
        [(Tally::value(&tally.interruptions), "interruptions"), (tally.errors(), "errors")]
    {
        if count > 0 {
            let _ = write!(words, ", {count} {what}");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_shown_only_where_there_are_some() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
        let tally = Tally::default();
        assert_eq!(words(&tally, 3), "0 of 3 images");
        tally.error("x", "y");
        Tally::add(&tally.done, 2);
        assert_eq!(words(&tally, 3), "2 of 3 images, 1 errors");
    }
}
