//! Which runs nobody renews any more: by what this process has seen, on its own steady clock. What clocks of other processes show is
//! only compared with what they showed before, so that an hour between two clocks ends no run that is at work.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::db::OpenRun;

/// Leases of open runs, each as it was last seen, and since when.
#[derive(Debug, Default)]
pub(super) struct SeenLeases(HashMap<i64, (OpenRun, Instant)>);

impl SeenLeases {
    /// Those of the runs that are open at `now` whose lease has been the same for `time`. What is not open any more is forgotten.
    pub(super) fn silent(
        &mut self,
        open: &[OpenRun],
        now: Instant,
        time: Duration,
    ) -> Vec<OpenRun> {
        let before = std::mem::take(&mut self.0);
        let mut silent = Vec::new();
        for &run in open {
            let seen = before.get(&run.id).filter(|(seen, _)| *seen == run);
            let since = seen.map_or(now, |(_, since)| *since);
            if now.saturating_duration_since(since) >= time {
                silent.push(run);
            }
            self.0.insert(run.id, (run, since));
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_mins(1);

    fn run(id: i64, lease_until_ms: i64) -> OpenRun {
        OpenRun { id, lease_until_ms }
    }

    #[test]
    fn a_lease_that_changes_is_alive_whatever_it_says() {
        let (mut seen, begun) = (SeenLeases::default(), Instant::now());
        let at = |secs| begun + Duration::from_secs(secs);
        // One clock is far behind and one far ahead; the third process has died.
        for (secs, behind, ahead) in
            [(0, -900, 9_000_000), (45, -855, 9_045_000), (90, -810, 9_090_000)]
        {
            let open = [run(1, behind), run(2, ahead), run(3, 5)];
            let silent = seen.silent(&open, at(secs), TIME);
            assert_eq!(silent, if secs < 60 { vec![] } else { vec![run(3, 5)] }, "{secs}");
        }
        let open = [run(1, -810), run(2, 9_090_000)];
        assert_eq!(seen.silent(&open, at(149), TIME), []);
        assert_eq!(seen.silent(&open, at(150), TIME), open);
    }

    #[test]
    fn nothing_is_kept_of_what_has_ended() {
        let (mut seen, begun) = (SeenLeases::default(), Instant::now());
        seen.silent(&[run(1, 7)], begun, TIME);
        seen.silent(&[], begun, TIME);
        assert!(seen.0.is_empty());
        assert_eq!(
            seen.silent(&[run(1, 7)], begun + TIME, TIME),
            [],
            "it is seen for the first time"
        );
    }
}
