//! The first request for an `IMAGE_ID` makes its job; those that come at the same time join it.

use std::sync::Arc;

use tokio::sync::watch;

use super::{JobError, JobView, Jobs, NewJob, locked};
use crate::{
    domain::{
        account::Caller,
        ids::{AccountUuid, UploadUuid},
        image_id::ImageId,
        upload::UploadRecord,
    },
    uploads::UploadError,
};

/// What a request for an `IMAGE_ID` found.
#[derive(Debug, Clone)]
#[must_use]
pub enum Joined {
    /// A live job had it already, or another request made the image while this one waited for it: its upload.
    Live(Box<UploadRecord>),
    /// None had: this one was made for it.
    Made(Box<JobView>),
}

/// Whose file, and which.
pub(super) type Key = (AccountUuid, ImageId);
/// Learns which upload came of somebody's arrival; nothing if none did.
pub(super) type Came = watch::Receiver<Option<UploadUuid>>;

/// The place of a request among those for an `IMAGE_ID`.
pub(super) enum Place {
    /// Behind another: its upload.
    Behind(Box<UploadRecord>),
    /// The first: all others wait until this is dropped.
    First(Arriving),
}

/// Held by the one request that looks for the live job of an `IMAGE_ID`, and makes one if there is none.
pub(super) struct Arriving {
    jobs: Arc<Jobs>,
    key: Key,
    came: watch::Sender<Option<UploadUuid>>,
}

impl Arriving {
    /// Its bytes are an image already: whoever waits gets this one.
    pub(super) fn has_become(self, upload: UploadUuid) {
        self.came.send_replace(Some(upload));
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        // First: whoever is woken by the end of the channel finds the place free.
        locked(&self.jobs.arriving).remove(&self.key);
    }
}

impl Jobs {
    /// The live upload of an `IMAGE_ID` of the caller's own account, the one furthest along, or a new job for it. Of any number that
    /// ask at the same time one makes the job.
    pub async fn join_or_submit(
        &self,
        caller: Caller,
        image_id: ImageId,
        new: NewJob,
    ) -> Result<Joined, JobError> {
        self.whole(move |jobs| async move {
            match jobs.place(caller, &image_id).await? {
                Place::Behind(record) => Ok(Joined::Live(record)),
                Place::First(arriving) => {
                    let made = jobs.submit_whole(caller, new).await;
                    drop(arriving);
                    Ok(Joined::Made(Box::new(made?)))
                }
            }
        })
        .await
    }

    /// Waits for whoever came before with the same `IMAGE_ID` of the same account.
    pub(super) async fn place(
        &self,
        caller: Caller,
        image_id: &ImageId,
    ) -> Result<Place, JobError> {
        let stopping = || JobError::Upload(UploadError::Draining { offset: 0 });
        let jobs = self.myself.upgrade().ok_or_else(stopping)?;
        let key = (caller.account, image_id.clone());
        let arriving = loop {
            match Arriving::first(&jobs, &key) {
                Ok(arriving) => break arriving,
                Err(mut came) => {
                    let upload = came.wait_for(Option::is_some).await.ok().and_then(|came| *came);
                    if let Some(upload) = upload
                        && let Some(record) = self.parts.db.upload(upload).await?
                    {
                        return Ok(Place::Behind(Box::new(record)));
                    }
                }
            }
        };
        // Its own: an admin sees what is everybody's, and a file of the same name of somebody else is another file.
        let own = Caller { admin: false, ..caller };
        if let Some(live) = self.live_upload(own, image_id).await?
            && let Some(record) = self.parts.db.upload(live).await?
        {
            return Ok(Place::Behind(Box::new(record)));
        }
        Ok(Place::First(arriving))
    }
}

impl Arriving {
    fn first(jobs: &Arc<Jobs>, key: &Key) -> Result<Self, Came> {
        let mut arriving = locked(&jobs.arriving);
        if let Some(came) = arriving.get(key) {
            return Err(came.clone());
        }
        let (came, seen) = watch::channel(None);
        arriving.insert(key.clone(), seen);
        Ok(Self { jobs: Arc::clone(jobs), key: key.clone(), came })
    }
}
