//! What the content of an upload is, and whether it is taken. Only bytes that are stored are looked at: what a request sends may
//! never be, where another one came first or its checksum does not match.

use std::ops::Range;

use longshore_storage::inspect::{Finding, Format, Inspector, Level, Report, Rules};

use super::{Live, UploadError, Uploads, Verdict};
use crate::{
    config::InspectPolicy,
    domain::{
        account::Scope,
        ids::UploadUuid,
        inspected::{Inspected, InspectedUnder, InspectionWarning},
        job::Reason,
        upload::UploadKind,
    },
};

/// What is asked of the content of images.
#[derive(Debug, Clone, Copy)]
pub struct Inspection {
    /// What a refusal leads to.
    pub policy: InspectPolicy,
    /// The choices that the rules leave to the operator.
    pub rules: Rules,
}

/// What the content of an upload shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// Format by content.
    pub format: &'static str,
    /// Size of the disk inside; the length of the file where the format has no other.
    pub virtual_size: u64,
    /// Why it is not taken, if it is not.
    pub refusal: Option<Refusal>,
    /// What a refusal led to.
    policy: InspectPolicy,
    /// What was found and did not keep it from being taken, as it is told to people.
    warnings: Vec<InspectionWarning>,
}

impl Probed {
    fn new(policy: InspectPolicy, told: &[Finding], report: &Report) -> Self {
        let mut warnings = Vec::new();
        if policy != InspectPolicy::Off {
            for finding in told.iter().chain(&report.findings) {
                let warning = warning(finding);
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        let (format, virtual_size) = (report.format.name(), report.virtual_size);
        Self { format, virtual_size, refusal: None, policy, warnings }
    }

    /// What is kept with the image.
    pub fn inspected(&self) -> Inspected {
        Inspected {
            policy: match self.policy {
                InspectPolicy::Enforce => InspectedUnder::Enforce,
                InspectPolicy::Warn => InspectedUnder::Warn,
                InspectPolicy::Off => InspectedUnder::Off,
            },
            format: self.format.to_owned(),
            virtual_size: self.virtual_size,
            warnings: self.warnings.clone(),
        }
    }
}

/// A finding of an image that is taken all the same.
fn warning(finding: &Finding) -> InspectionWarning {
    let allowed = match finding.level {
        Level::Warning => "",
        Level::Refusal => " (it was taken because the policy of the inspection is `warn`)",
    };
    InspectionWarning {
        rule: finding.code().to_owned(),
        words: format!("{finding}{allowed}: {}", finding.advice()),
    }
}

/// Why an image, or what is sent for it, is not taken: in words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What happened and what to do.
    pub detail: String,
    /// The rule that it breaks.
    pub cause: String,
    /// What of it is at fault.
    pub reason: Reason,
}

impl Refusal {
    fn new(finding: &Finding) -> Self {
        Self {
            detail: format!(
                "the image was refused: {finding}; its bytes were removed: {}",
                finding.advice()
            ),
            cause: format!("{finding} ({}, rule {})", finding.code(), finding.rule()),
            reason: Reason::Content,
        }
    }
}

impl Uploads {
    /// Looks at what a complete upload is, by the few parts of it that show that.
    pub(crate) async fn probe(&self, live: &Live, length: u64) -> Result<Probed, UploadError> {
        let mut inspector = Inspector::new(self.rules(live).await?, Some(length));
        self.show(live, &mut inspector, length).await?;
        let mut report = inspector.so_far();
        let told = report.findings.clone();
        let policy = self.limits.inspection.policy;
        let refused = match policy {
            InspectPolicy::Enforce => report.refusal().map(Refusal::new),
            InspectPolicy::Warn | InspectPolicy::Off => None,
        };
        self.tell(live.record().uuid, &report);
        if refused.is_none() && report.refusal().is_some() {
            // It is recorded as what it is, whatever it was said to be: that another name was wrong ended the look at it.
            let rules = Rules { declared: None, ..self.limits.inspection.rules };
            let mut inspector = Inspector::new(rules, Some(length));
            self.show(live, &mut inspector, length).await?;
            report = inspector.so_far();
        }
        Ok(Probed { refusal: refused, ..Probed::new(policy, &told, &report) })
    }

    /// Looks at a whole body in memory, of an image that was said to be of `format`; `None` if it is to be refused.
    pub(crate) fn probe_whole(
        &self,
        upload: UploadUuid,
        format: &str,
        bytes: &[u8],
    ) -> Option<Probed> {
        let mut report = self.look_at(Format::from_name(format), bytes);
        if report.refusal().is_some() && self.limits.inspection.policy == InspectPolicy::Enforce {
            // What is told of it is told where it is looked at again.
            return None;
        }
        self.tell(upload, &report);
        let told = report.findings.clone();
        if report.refusal().is_some() {
            // As in `probe`: recorded as what it is.
            report = self.look_at(None, bytes);
        }
        Some(Probed::new(self.limits.inspection.policy, &told, &report))
    }

    fn look_at(&self, declared: Option<Format>, bytes: &[u8]) -> Report {
        let rules = Rules { declared, ..self.limits.inspection.rules };
        let length = bytes.len() as u64;
        let mut inspector = Inspector::new(rules, Some(length));
        while let Some(part) = next_of(&inspector, length) {
            let at = |position| usize::try_from(position).unwrap_or(usize::MAX);
            let Some(wanted) = bytes.get(at(part.start)..at(part.end)) else { break };
            inspector.feed(part.start, wanted);
        }
        inspector.so_far()
    }

    fn tell(&self, upload: UploadUuid, report: &Report) {
        if self.limits.inspection.policy != InspectPolicy::Off {
            for finding in &report.findings {
                tracing::warn!(%upload, code = finding.code(), rule = finding.rule(), "{finding}");
            }
        }
    }

    /// Looks at what is stored of an upload that is not complete. If that proves already that it will not be taken, its job fails
    /// now and not after a terabyte.
    pub(super) async fn refuse_early(&self, live: &Live) -> Result<Option<Verdict>, UploadError> {
        if self.limits.inspection.policy != InspectPolicy::Enforce {
            return Ok(None);
        }
        // Whoever holds it looks for all of us.
        let Ok(mut seat) = live.inspector.try_lock() else { return Ok(None) };
        let record = live.record();
        let is_refused = seat.as_mut().is_some_and(|seen| seen.refusal().is_some());
        let looked = async {
            if is_refused {
                return Ok(());
            }
            if seat.is_none() {
                let rules = self.rules(live).await?;
                *seat = Some(Inspector::new(rules, record.declared_length));
            }
            let Some(inspector) = seat.as_mut() else { return Ok(()) };
            self.show(live, inspector, record.offset_cached).await
        };
        if let Err(error) = looked.await {
            // The bytes of this request are stored, whatever keeps us from reading them; at the end they are looked at again.
            tracing::debug!(upload = %record.uuid, %error, "an upload could not be looked at before its end");
            return Ok(None);
        }
        let Some(inspector) = seat.as_mut() else { return Ok(None) };
        let Some(refusal) = inspector.refusal().map(Refusal::new) else { return Ok(None) };
        drop(seat);
        let run = live.record().run();
        self.signals()?.refused(run, refusal.clone()).await?;
        Ok(Some(Verdict::Refused { detail: refusal.detail, reason: refusal.reason }))
    }

    /// [`refuse_early`](Self::refuse_early) while a body is still on its way, as far as it is durable by now.
    pub(super) async fn is_refused_midway(&self, live: &Live) -> Option<Verdict> {
        // A part of an image is no image.
        if live.record().kind != UploadKind::Whole {
            return None;
        }
        let state = self.store.state(live.owned.key).await.ok()?;
        live.acknowledged(state.offset, state.stored_bytes());
        // Asked again at the end of the body, whatever keeps us from knowing now.
        if state.offset == 0 {
            return None;
        }
        self.refuse_early(live).await.ok().flatten()
    }

    /// Shows the inspector what it wants, as far as that lies below `offset`.
    async fn show(
        &self,
        live: &Live,
        inspector: &mut Inspector,
        offset: u64,
    ) -> Result<(), UploadError> {
        while let Some(part) = next_of(inspector, offset) {
            let bytes = self.store.read_upload(live.owned.key, part.clone()).await?;
            if bytes.is_empty() {
                return Ok(());
            }
            inspector.feed(part.start, &bytes);
        }
        Ok(())
    }

    /// The operator's rules, and what this image was said to be.
    async fn rules(&self, live: &Live) -> Result<Rules, UploadError> {
        let image = self.db.image(live.record().image, Scope::All).await?;
        let declared = image.and_then(|image| Format::from_name(&image.format));
        Ok(Rules { declared, ..self.limits.inspection.rules })
    }
}

/// What the inspector wants next and lies below `offset`. Whole parts, so that no bytes are held between two requests; but the first
/// sector at once, which decides most.
fn next_of(inspector: &Inspector, offset: u64) -> Option<Range<u64>> {
    inspector.wanted().into_iter().find_map(|part| {
        let first = (part.start == 0).then(|| 0..part.end.min(FIRST_BYTES));
        [Some(part), first].into_iter().flatten().find(|part| part.end <= offset)
    })
}

/// Bytes of the first sector.
const FIRST_BYTES: u64 = 512;
