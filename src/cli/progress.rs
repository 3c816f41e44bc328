//! Shows the events of the client: bars on a terminal, lines elsewhere, JSON for scripts, or nothing.

use std::{
    fmt::Write,
    io::IsTerminal,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::out;
use crate::client::events::{Event, Phase, Sink};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
const SENDING: &str =
    "{prefix:.bold} {msg:11} [{bar:28}] {percent:>3}% {bytes}/{total_bytes} {rate} ETA {eta}{all}";
const WORKING: &str = "{prefix:.bold} {msg:11} [{bar:28}] {percent:>3}%";
const WAITING: &str = "{prefix:.bold} {spinner} {wide_msg}";

/// How progress is shown.
#[derive(Debug, Clone, Copy, Args)]
pub struct Show {
    /// Nothing but errors; the exit code tells the rest
    #[arg(short, long)]
    pub quiet: bool,
    /// Events as JSON, one object per line, on standard output
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
}

/// A file's place among those of the command.
#[derive(Debug, Clone, Copy)]
pub struct Among {
    /// Its number, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// Bytes of those before it.
    pub before_bytes: u64,
    /// Bytes of all.
    pub all_bytes: u64,
}

impl Among {
    /// The only one.
    pub const ALONE: Self = Self { number: 1, of: 1, before_bytes: 0, all_bytes: 0 };

    /// How the file is called where there are several.
    fn title(self, name: &str) -> String {
        if self.of > 1 { format!("[{}/{}] {name}", self.number, self.of) } else { name.to_owned() }
    }

    /// How far all files are, with so many bytes of this one; nothing where it is the only one.
    fn percent_of_all(self, bytes: u64) -> Option<u64> {
        let moved = self.before_bytes.saturating_add(bytes).min(self.all_bytes);
        (self.of > 1).then(|| moved.saturating_mul(100) / self.all_bytes.max(1))
    }
}

enum Face {
    Bar(ProgressBar, Among),
    Lines(Lines),
    Json,
    Quiet,
}

struct Lines {
    among: Among,
    begun: Instant,
    first_bytes: Option<u64>,
    shown: Option<Instant>,
    phase: Option<(Phase, Option<u8>)>,
}

/// The face of one running transfer.
pub struct Progress {
    face: Arc<Mutex<Face>>,
}

impl Progress {
    /// For a transfer called `name`, among others.
    pub fn new(show: Show, name: &str, among: Among) -> Self {
        let face = if show.json {
            Face::Json
        } else if show.quiet {
            Face::Quiet
        } else if std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
        {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_prefix(out::printable(&among.title(name)));
            bar.enable_steady_tick(Duration::from_millis(200));
            Face::Bar(bar, among)
        } else {
            Face::Lines(Lines {
                among,
                begun: Instant::now(),
                first_bytes: None,
                shown: None,
                phase: None,
            })
        };
        Self { face: Arc::new(Mutex::new(face)) }
    }

    /// What the client reports to.
    pub fn sink(&self) -> Sink {
        let face = Arc::clone(&self.face);
        Arc::new(move |event| {
            let mut face = face.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match &mut *face {
                Face::Bar(bar, among) => on_bar(bar, *among, event),
                Face::Lines(lines) => lines.on(event),
                Face::Json => out::say_json(event),
                Face::Quiet => {}
            }
        })
    }

    /// Takes the bar away, so that what is said next stands alone.
    pub fn done(&self) {
        let face = self.face.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Face::Bar(bar, _) = &*face {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str, among: Among) -> ProgressStyle {
    // NO_COLOR and streams without colours are respected by the console library underneath.
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let rate = |state: &indicatif::ProgressState, text: &mut dyn std::fmt::Write| {
        let rate = state.per_sec();
        let whole = if rate.is_finite() && rate > 0.0 { rate } else { 0.0 };
        let _ = write!(
            text,
            "{}/s",
            indicatif::HumanBytes(Duration::from_secs_f64(whole.min(1e15)).as_secs())
        );
    };
    let all = move |state: &indicatif::ProgressState, text: &mut dyn std::fmt::Write| {
        if let Some(percent) = among.percent_of_all(state.pos()) {
            let _ = write!(text, ", all {percent}%");
        }
    };
    style.with_key("rate", rate).with_key("all", all).progress_chars("=> ")
}

fn on_bar(bar: &ProgressBar, among: Among, event: &Event) {
    let style = |template| style(template, among);
    match event {
        Event::Phase { phase, percent } => {
            if matches!(phase, Phase::Sending | Phase::Receiving) {
                bar.set_style(style(SENDING));
                bar.reset_eta();
            } else if let Some(percent) = percent {
                bar.set_style(style(WORKING));
                bar.set_length(100);
                bar.set_position(u64::from(*percent));
            } else {
                bar.set_style(style(WAITING));
            }
            bar.set_message(phase.name());
        }
        Event::Progress { moved_bytes, length, .. } => {
            if bar.length() != Some(*length) {
                bar.set_length(*length);
                bar.set_position(*moved_bytes);
                bar.reset_eta();
            }
            if !matches!(bar.message().as_str(), "sending" | "receiving") {
                bar.set_style(style(SENDING));
                bar.set_message("sending");
            }
            bar.set_position(*moved_bytes);
        }
        Event::Waiting { why, wait_ms } => {
            bar.set_style(style(WAITING));
            bar.set_message(waiting(why, *wait_ms));
        }
        Event::Note { words } => bar.suspend(|| out::complain(words)),
        Event::Located { resumed, stored_bytes, .. } => {
            if *resumed {
                bar.suspend(|| out::complain(&going_on(*stored_bytes)));
            }
        }
        Event::Opened { .. } | Event::Ready { .. } => {}
    }
}

impl Lines {
    fn on(&mut self, event: &Event) {
        match event {
            Event::Opened { file, length } => {
                out::complain(&format!("{}: {}", self.among.title(file), out::size(*length)));
            }
            Event::Phase { phase, percent } => {
                let same = self.phase.is_some_and(|(last, _)| last == *phase);
                let moved = self.phase != Some((*phase, *percent));
                if !same || (moved && self.is_time()) {
                    self.shown = Some(Instant::now());
                    self.phase = Some((*phase, *percent));
                    let percent = percent.map_or(String::new(), |percent| format!(" {percent} %"));
                    out::complain(&format!("{}{percent}", phase.name()));
                }
            }
            Event::Progress { stored_bytes, moved_bytes, length } => {
                let first = *self.first_bytes.get_or_insert(*stored_bytes);
                if self.is_time() {
                    self.shown = Some(Instant::now());
                    let mut text = line(self.begun.elapsed(), first, *moved_bytes, *length);
                    if let Some(percent) = self.among.percent_of_all(*moved_bytes) {
                        let _ = write!(text, "; {percent} % of all files");
                    }
                    out::complain(&text);
                }
            }
            Event::Located { resumed: true, stored_bytes, .. } => {
                out::complain(&going_on(*stored_bytes));
            }
            Event::Waiting { why, wait_ms } => out::complain(&waiting(why, *wait_ms)),
            Event::Note { words } => out::complain(words),
            Event::Located { .. } | Event::Ready { .. } => {}
        }
    }

    fn is_time(&self) -> bool {
        self.shown.is_none_or(|shown| shown.elapsed() >= LINE_EVERY)
    }
}

fn going_on(stored_bytes: u64) -> String {
    if stored_bytes == 0 {
        // Slices further on may be stored; the progress counts them.
        return "going on with an earlier upload of this file".to_owned();
    }
    format!("going on: the server has the first {} already", out::size(stored_bytes))
}

fn waiting(why: &str, wait_ms: u64) -> String {
    format!("{why}; trying again in {}.{} s", wait_ms / 1000, wait_ms % 1000 / 100)
}

fn line(elapsed: Duration, first: u64, now: u64, length: u64) -> String {
    let percent = now.saturating_mul(100) / length.max(1);
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = now.saturating_sub(first).saturating_mul(1000) / millis;
    let left = length.saturating_sub(now).checked_div(rate);
    let left = left.map_or(String::new(), |secs| {
        format!(", {} left", indicatif::HumanDuration(Duration::from_secs(secs)))
    });
    format!(
        "{percent} % ({} of {}), {}/s{left}",
        out::size(now),
        out::size(length),
        out::size(rate)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_only_what_this_run_moved() {
        let mib = 1 << 20;
        let text = line(Duration::from_secs(10), 50 * mib, 60 * mib, 100 * mib);
        assert_eq!(text, "60 % (60.00 MiB of 100.00 MiB), 1.00 MiB/s, 40 seconds left");
        let text = line(Duration::ZERO, 0, 0, 0);
        assert_eq!(text, "0 % (0 B of 0 B), 0 B/s");
    }

    #[test]
    fn the_total_counts_the_files_before_and_is_for_several() {
        let second = Among { number: 2, of: 3, before_bytes: 100, all_bytes: 400 };
        assert_eq!((second.percent_of_all(0), second.percent_of_all(200)), (Some(25), Some(75)));
        assert_eq!(second.percent_of_all(9999), Some(100), "a file that grew");
        assert_eq!(second.title("a.raw"), "[2/3] a.raw");
        assert_eq!((Among::ALONE.percent_of_all(5), &*Among::ALONE.title("a")), (None, "a"));
        let empty = Among { number: 1, of: 2, before_bytes: 0, all_bytes: 0 };
        assert_eq!(empty.percent_of_all(0), Some(0));
    }

    #[test]
    fn every_template_is_one_that_the_library_takes() {
        for template in [SENDING, WORKING, WAITING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
